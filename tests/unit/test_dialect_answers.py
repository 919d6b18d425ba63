"""Whole answers: what they used and say; errors in a vendor's words; the runner's own requests."""

import json
from typing import Any

import pytest

from quarterdeck.domain.dialects import (
    SPOKEN,
    AssistantTurn,
    ToolDefinition,
    ToolTurn,
    UserTurn,
)
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT
from quarterdeck.domain.money import Usage

OPENAI, ANTHROPIC = SPOKEN["openai"], SPOKEN["anthropic"]
LOOK = ToolDefinition(
    name="look",
    description="Look something up.",
    arguments={"type": "object", "properties": {"q": {"type": "string"}}},
)


def used(wire: Any, usage: Any, **fields: Any) -> Usage | None:
    found = wire.usage_of_answer(json.dumps({"model": "m-1", "usage": usage} | fields).encode())
    if found is None:
        return None
    assert found[1] == "m-1"
    usage_found: Usage = found[0]
    return usage_found


@pytest.mark.parametrize(
    ("reported", "buckets"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
            Usage(input=10, output=4),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 14,
                "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(input=1, cache_read=6, cache_write=3, output=1, reasoning=3),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 14,
                "prompt_tokens_details": None,
                "completion_tokens_details": {"reasoning_tokens": None},
            },
            Usage(input=10, output=4),
        ),
        # reasoning counted apart from the completion, with details and without
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 34,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(input=10, output=4, reasoning=20),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 34},
            Usage(input=10, output=4, reasoning=20),
        ),
        # details that contradict their total never make more than the total
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 99},
                "completion_tokens_details": {"reasoning_tokens": 99},
            },
            Usage(cache_read=10, reasoning=4),
        ),
        ({"prompt_tokens": -5, "completion_tokens": 4}, Usage(output=4)),
        ({"prompt_tokens": 3}, Usage(input=3)),
        ({}, None),
        (None, None),
        ({"prompt_tokens": "many"}, None),
        ([], None),
    ],
)
def test_the_usage_of_a_chat_completion_is_read_into_disjoint_buckets(
    reported: Any, buckets: Usage | None
) -> None:
    assert used(OPENAI, reported) == buckets


@pytest.mark.parametrize(
    ("reported", "buckets"),
    [
        ({"input_tokens": 10, "output_tokens": 4}, Usage(input=10, output=4)),
        (
            {
                "input_tokens": 10,
                "output_tokens": 4,
                "cache_creation_input_tokens": 7,
                "cache_read_input_tokens": 8,
                "cache_creation": {"ephemeral_5m_input_tokens": 7},
                "output_tokens_details": {"thinking_tokens": 3},
            },
            Usage(input=10, cache_read=8, cache_write=7, output=1, reasoning=3),
        ),
        # what the vendor asked of itself is billed beside the totals
        (
            {
                "input_tokens": 10,
                "output_tokens": 4,
                "iterations": [
                    {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
                    {"type": "message", "input_tokens": 10, "output_tokens": 4},
                ],
            },
            Usage(input=110, output=24),
        ),
        ({"input_tokens": 10, "output_tokens": 4, "iterations": None}, Usage(input=10, output=4)),
        ({}, None),
        (None, None),
        ({"input_tokens": 1.5}, None),
    ],
)
def test_the_usage_of_a_message_is_read_into_disjoint_buckets(
    reported: Any, buckets: Usage | None
) -> None:
    assert used(ANTHROPIC, reported) == buckets


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@pytest.mark.parametrize(
    "garbage", [b"", b"<html>", b"[]", b"7", b"\xff", b"[" * 5000, b'{"usage":{}}', b"{}"]
)
def test_garbage_reports_no_usage_and_is_no_answer(dialect: str, garbage: bytes) -> None:
    wire = SPOKEN[dialect]
    assert wire.usage_of_answer(garbage) is None
    for reading in (wire.tool_calls, wire.text_of, wire.message_of):
        with pytest.raises(Invalid, match="the model's answer is not"):
            reading(garbage)


CHAT = {
    "id": "c",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Let me see.",
                "refusal": None,
                "annotations": [],
                "reasoning_content": "hm",
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"q": "é"}'},
                    },
                    {"id": "t2", "type": "custom", "custom": {"name": "run", "input": "x = 1"}},
                ],
            },
        }
    ],
}
MESSAGE = {
    "id": "m",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "see."},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"q": "é"}},
        {"type": "tool_use", "id": "t2", "name": "run", "input": {}},
    ],
}


def written(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode()


def test_text_and_tool_calls_are_taken_from_an_answer() -> None:
    for wire, answer in ((OPENAI, CHAT), (ANTHROPIC, MESSAGE)):
        assert wire.text_of(written(answer)) == "Let me see."
        first, second = wire.tool_calls(written(answer))
        assert (first.id, first.name, json.loads(first.arguments)) == ("t1", "look", {"q": "é"})
        assert (second.id, second.name) == ("t2", "run")
    assert OPENAI.tool_calls(written(CHAT))[1].arguments == b"x = 1"
    assert ANTHROPIC.tool_calls(written(MESSAGE))[1].arguments == b"{}"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (None, ""),
        ({"content": None}, ""),
        ({"content": None, "refusal": "I cannot."}, "I cannot."),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
    ],
)
def test_the_text_of_odd_messages_is_what_a_person_would_read(message: Any, text: str) -> None:
    answer = written({"choices": [{"message": message}]})
    assert OPENAI.text_of(answer) == text
    assert OPENAI.tool_calls(answer) == []
    assert json.loads(OPENAI.message_of(answer))["role"] == "assistant"


def test_an_older_function_call_is_a_tool_call_without_id() -> None:
    message = {"content": None, "function_call": {"name": "look", "arguments": "{}"}}
    (call,) = OPENAI.tool_calls(written({"choices": [{"message": message}]}))
    assert (call.id, call.name, call.arguments) == ("", "look", b"{}")


@pytest.mark.parametrize(
    ("dialect", "status", "code", "kind"),
    [
        ("openai", 400, "invalid", "invalid_request_error"),
        ("openai", 401, "unidentified", "authentication_error"),
        ("openai", 403, "denied", "permission_error"),
        ("openai", 404, "not_found", "not_found_error"),
        ("openai", 413, "body_too_large", "request_too_large"),
        ("openai", 422, "odd", "invalid_request_error"),
        ("openai", 429, "limit_exceeded", "rate_limit_error"),
        ("openai", 429, "budget_exceeded", "insufficient_quota"),
        ("openai", 500, "corrupt", "api_error"),
        ("anthropic", 409, "in_doubt", "conflict_error"),
        ("anthropic", 429, "budget_exceeded", "rate_limit_error"),
        ("anthropic", 502, "upstream", "api_error"),
        ("anthropic", 503, "unavailable", "overloaded_error"),
    ],
)
def test_errors_are_written_as_the_vendor_writes_them(
    dialect: str, status: int, code: str, kind: str
) -> None:
    body = SPOKEN[dialect].error_body(status=status, code=code, message="no `x`", action="act_1")
    error = json.loads(body)
    assert error["error"]["type"] == kind
    assert error["error"]["message"] == "no `x` (action act_1)"
    if dialect == "openai":
        assert error == {"error": error["error"]}
        assert error["error"].keys() == {"message", "type", "param", "code"}
        assert error["error"]["code"] == code
    else:
        assert (error["type"], error["request_id"]) == ("error", "act_1")


def test_an_action_already_named_is_not_named_again() -> None:
    body = OPENAI.error_body(status=403, code="denied", message="no (act_1)", action="act_1")
    assert json.loads(body)["error"]["message"] == "no (act_1)"
    bare = json.loads(ANTHROPIC.error_body(status=401, code="u", message="who?", action=None))
    assert bare == {
        "type": "error",
        "error": {"type": "authentication_error", "message": "who?"},
    }


def test_a_request_of_the_runner_says_prompt_conversation_and_tools_in_openais_words() -> None:
    said = OPENAI.message_of(written(CHAT))
    assert "annotations" not in json.loads(said)
    source = OPENAI.compose(
        "gpt-x",
        "Be kind.",
        messages=[
            UserTurn(text="hi"),
            AssistantTurn(message=said),
            ToolTurn(call_id="t1", name="look", content="found"),
        ],
        tools=[LOOK],
        parameters={"temperature": 0, "max_tokens": 50},
    )
    assert json.loads(source) == {
        "model": "gpt-x",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": CHAT["choices"][0]["message"]["tool_calls"],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "found"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look",
                    "description": "Look something up.",
                    "parameters": LOOK.arguments,
                },
            }
        ],
        "temperature": 0,
        "max_tokens": 50,
    }


def test_a_request_of_the_runner_joins_the_results_of_one_turn_in_anthropics_words() -> None:
    said = ANTHROPIC.message_of(written(MESSAGE))
    source = ANTHROPIC.compose(
        "claude-x",
        "Be kind.",
        messages=[
            UserTurn(text="hi"),
            AssistantTurn(message=said),
            ToolTurn(call_id="t1", name="look", content="found"),
            ToolTurn(call_id="t2", name="run", content="boom", failed=True),
            AssistantTurn(message=said),
            ToolTurn(call_id="t1", name="look", content="again"),
            UserTurn(text="well?"),
        ],
        tools=[LOOK],
        parameters={},
    )
    request = json.loads(source)
    assert request["max_tokens"] == OUTPUT_TOKENS_DEFAULT
    assert request["system"] == "Be kind."
    assert request["tools"] == [
        {"name": "look", "description": "Look something up.", "input_schema": LOOK.arguments}
    ]
    roles = [m["role"] for m in request["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user", "user"]
    assert request["messages"][1] == {"role": "assistant", "content": MESSAGE["content"]}
    found = {"type": "tool_result", "tool_use_id": "t1", "content": "found"}
    failed = {"type": "tool_result", "tool_use_id": "t2", "content": "boom", "is_error": True}
    assert request["messages"][2]["content"] == [found, failed]
    assert request["messages"][4]["content"] == [found | {"content": "again"}]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_composed_request_passes_our_own_gateway(dialect: str) -> None:
    wire = SPOKEN[dialect]
    answer = written(CHAT if dialect == "openai" else MESSAGE)
    source = wire.compose(
        "m",
        "",
        messages=[
            UserTurn(text="hi"),
            AssistantTurn(message=wire.message_of(answer)),
            ToolTurn(call_id="t1", name="look", content="found"),
        ],
        tools=[LOOK],
        parameters={"max_tokens": 7},
    )
    request = wire.peek(source, frozenset())
    assert request.findings == ()
    assert request.unknown == ()
    assert request.forward is source
    assert len(request.content.parts) == 3
    assert request.tokens.output_max == 7


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_parameters_may_not_replace_what_the_runner_sets(dialect: str, name: str) -> None:
    with pytest.raises(Invalid, match=f"`{name}`"):
        SPOKEN[dialect].compose("m", "s", messages=[], tools=[], parameters={name: 1})
