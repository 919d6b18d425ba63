"""What a vendor would do by itself is refused, by the field's name, until the fleet allows it."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.dialects import ALLOWANCES, SPOKEN, ModelRequest
from quarterdeck.domain.dialects.anthropic import KNOWN as ANTHROPIC_KNOWN
from quarterdeck.domain.dialects.openai import KNOWN as OPENAI_KNOWN
from quarterdeck.domain.dialects.refusals import FINDINGS_MAX


def peek(dialect: str, allow: frozenset[str], fields: dict[str, Any]) -> ModelRequest:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    source = json.dumps(request | fields).encode()
    peeked = SPOKEN[dialect].peek(source, allow)
    assert peeked.forward is source
    return peeked


def rules(dialect: str, fields: dict[str, Any], *allow: str) -> list[str]:
    return [r.rule for v in peek(dialect, frozenset(allow), fields).findings for r in v.reasons]


def said(*parts: Any, role: str = "user", **members: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(parts)} | members]}


OPENAI_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [{"type": "web_search_preview"}]}, "hosted-tools", "tools[0].type"),
    ({"tools": [{"type": "function"}, {"name": "x"}]}, "hosted-tools", "tools[1].type"),
    ({"tools": [{"type": "mcp", "server_url": "https://x"}]}, "hosted-tools", "tools[0].type"),
    ({"web_search_options": {}}, "web-search", "web_search_options"),
    ({"search_parameters": {"mode": "on"}}, "web-search", "search_parameters"),
    ({"enable_search": True}, "web-search", "enable_search"),
    ({"plugins": [{"id": "web"}]}, "hosted-tools", "plugins"),
    ({"data_sources": [{"type": "azure_search"}]}, "fetched-content", "data_sources"),
    ({"models": ["m", "dearer"]}, "other-models", "models"),
    ({"fallbacks": ["dearer"]}, "other-models", "fallbacks"),
    ({"store": True}, "vendor-state", "store"),
    ({"previous_response_id": "resp_1"}, "vendor-state", "previous_response_id"),
    ({"background": True}, "vendor-state", "background"),
    ({"conversation": "conv_1"}, "vendor-state", "conversation"),
    ({"modalities": ["text", "audio"]}, "audio-output", "modalities"),
    (said(role="assistant", audio={"id": "a"}), "vendor-state", "messages[0].audio"),
    (
        {"messages": [{"role": "assistant", "content": "x", "audio": {"id": "a"}}]},
        "vendor-state",
        "messages[0].audio",
    ),
    (
        said({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}),
        "fetched-content",
        "messages[0].content[0].image_url.url",
    ),
    (
        said({"type": "text", "text": "t"}, {"type": "image_url", "image_url": "http://x"}),
        "fetched-content",
        "messages[0].content[1].image_url.url",
    ),
    (said({"type": "image_url"}), "fetched-content", "messages[0].content[0].image_url.url"),
    (
        said({"type": "file", "file": {"file_id": "file_1"}}),
        "vendor-files",
        "messages[0].content[0].file.file_id",
    ),
    (
        said({"type": "file", "file": {"file_data": "https://example.org/a.pdf"}}),
        "fetched-content",
        "messages[0].content[0].file.file_data",
    ),
    (
        said({"type": "input_audio", "input_audio": {"data": "https://example.org/a.mp3"}}),
        "fetched-content",
        "messages[0].content[0].input_audio.data",
    ),
]

ANTHROPIC_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [{"type": kind, "name": "x"}]}, "hosted-tools", "tools[0].type")
    for kind in (
        "web_search_20250305",
        "web_fetch_20250910",
        "code_execution_20250825",
        "tool_search_tool_bm25",
        "tool_search_tool_regex_20251119",
        "mcp_toolset",
        "advisor_20260301",
    )
]
ANTHROPIC_REFUSED += [
    ({"mcp_servers": [{"type": "url", "url": "https://x"}]}, "remote-mcp", "mcp_servers"),
    ({"container": "container_1"}, "vendor-state", "container"),
    ({"thread": {"type": "create"}}, "vendor-state", "thread"),
    ({"fallbacks": "default"}, "other-models", "fallbacks"),
    (
        said({"type": "image", "source": {"type": "url", "url": "https://x"}}),
        "fetched-content",
        "messages[0].content[0].source",
    ),
    (
        said({"type": "document", "source": {"type": "file", "file_id": "f"}}),
        "vendor-files",
        "messages[0].content[0].source",
    ),
    (
        said(
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}],
            }
        ),
        "fetched-content",
        "messages[0].content[0].content[0].source",
    ),
    (
        said(
            {
                "type": "document",
                "source": {
                    "type": "content",
                    "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
                },
            }
        ),
        "vendor-files",
        "messages[0].content[0].source.content[0].source",
    ),
    (said({"type": "server_tool_use", "id": "s"}), "hosted-tools", "messages[0].content[0].type"),
    (said({"type": "mcp_tool_use", "id": "s"}), "remote-mcp", "messages[0].content[0].type"),
    (said({"type": "container_upload"}), "vendor-files", "messages[0].content[0].type"),
]

REFUSED = [("openai", *case) for case in OPENAI_REFUSED]
REFUSED += [("anthropic", *case) for case in ANTHROPIC_REFUSED]


@pytest.mark.parametrize(("dialect", "fields", "allowance", "field"), REFUSED)
def test_what_a_vendor_would_do_by_itself_is_refused_until_it_is_allowed(
    dialect: str, fields: dict[str, Any], allowance: str, field: str
) -> None:
    findings = peek(dialect, frozenset(), fields).findings
    assert [(v.answer, r.rule) for v in findings for r in v.reasons] == [
        ("deny", f"wire:{allowance}")
    ]
    because = findings[0].reasons[0].because
    assert because.startswith(f"{field}: ")
    assert f"`{allowance}`" in because
    assert rules(dialect, fields, allowance) == []
    others = frozenset(ALLOWANCES) - {allowance}
    assert rules(dialect, fields, *others) == [f"wire:{allowance}"]


UNKNOWN: list[tuple[str, dict[str, Any], str]] = [
    ("openai", said({"type": "video_url", "video_url": {"url": "https://x"}}), "part"),
    # Some servers guess the kind of a part that names none.
    ("openai", said({"image_url": {"url": "https://x"}}), "part"),
    ("openai", said({"type": 7}), "part"),
    ("openai", said({"type": "text", "text": "t"}, {"type": "Text", "text": "t"}), "part"),
    ("anthropic", {"tools": [{"type": "teleport_20270101", "name": "x"}]}, "tool"),
    ("anthropic", {"tools": [{"type": "bash_hosted", "name": "x"}]}, "tool"),
    ("anthropic", {"tools": [{"type": 7, "name": "x"}]}, "tool"),
    ("anthropic", said({"type": "hologram"}), "part"),
    ("anthropic", said({"type": "tool_addition", "tool": {"type": "tool_definition"}}), "part"),
    ("anthropic", said({"type": "compaction", "tool_changes": [{"type": "x"}]}), "part"),
    ("anthropic", said({"type": "image", "source": {"type": "s3", "uri": "s3://x"}}), "part"),
    ("anthropic", said({"type": "image"}), "part"),
    ("anthropic", {"system": [{"type": "hologram"}]}, "part"),
]


@pytest.mark.parametrize(("dialect", "fields", "what"), UNKNOWN)
def test_unknown_tools_and_parts_are_refused_and_nothing_opens_them(
    dialect: str, fields: dict[str, Any], what: str
) -> None:
    assert rules(dialect, fields) == [f"wire:unknown-{what}"]
    assert rules(dialect, fields, *ALLOWANCES) == [f"wire:unknown-{what}"]


FINE: list[tuple[str, dict[str, Any]]] = [
    ("openai", {"tools": [{"type": "function", "function": {}}, {"type": "custom"}]}),
    ("openai", {"functions": [{"name": "f"}], "function_call": "auto"}),
    ("openai", {"store": False, "background": False, "plugins": [], "web_search_options": None}),
    ("openai", {"tools": None, "modalities": ["text"], "store": None, "conversation": None}),
    ("openai", {"service_tier": "flex", "prediction": {"type": "content"}, "metadata": {"a": "b"}}),
    ("openai", said({"type": "text", "text": "t"}, "bare", {"type": "refusal", "refusal": "no"})),
    ("openai", said({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}})),
    ("openai", said({"type": "image_url", "image_url": {"url": "DATA:image/png;base64,AA"}})),
    ("openai", said({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}})),
    ("openai", said({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}})),
    ("openai", {"messages": [{"role": "assistant", "content": None, "tool_calls": []}]}),
    ("openai", {"messages": [{"role": "tool", "tool_call_id": "c", "content": '"content":[7]'}]}),
    ("anthropic", {"tools": [{"name": "a", "input_schema": {"type": "object"}}]}),
    ("anthropic", {"tools": [{"type": None, "name": "a"}, {"type": "custom", "name": "b"}]}),
    ("anthropic", {"tools": [{"type": "bash_20250124"}, {"type": "text_editor_20250728"}]}),
    ("anthropic", {"tools": [{"type": "computer_20251124"}, {"type": "memory_20250818"}]}),
    ("anthropic", {"mcp_servers": [], "container": None, "tools": None}),
    ("anthropic", {"context_management": {"edits": []}, "thinking": {"type": "adaptive"}}),
    ("anthropic", {"system": [{"type": "text", "text": "s", "cache_control": {}}]}),
    ("anthropic", said({"type": "thinking", "thinking": "t", "signature": "s"})),
    ("anthropic", said({"type": "redacted_thinking", "data": "d"}, {"type": "tool_use"})),
    ("anthropic", said({"type": "tool_result", "tool_use_id": "t", "content": "x"})),
    ("anthropic", said({"type": "tool_result", "tool_use_id": "t"})),
    ("anthropic", said({"type": "search_result", "source": "https://x", "content": []})),
    ("anthropic", said({"type": "document", "source": {"type": "text", "data": "d"}})),
    ("anthropic", said({"type": "compaction", "content": "c", "tool_changes": None})),
]


@pytest.mark.parametrize(("dialect", "fields"), FINE)
def test_what_only_the_caller_and_the_model_do_passes(dialect: str, fields: dict[str, Any]) -> None:
    request = peek(dialect, frozenset(), fields)
    assert request.findings == ()
    assert request.unknown == tuple(
        n for n in fields if n not in (OPENAI_KNOWN if dialect == "openai" else ANTHROPIC_KNOWN)
    )


def test_escapes_in_names_hide_nothing() -> None:
    hidden = (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","x":1,"c\\u006fntent":'
        b'[{"t\\u0079pe":"image_url","image_url":{"url":"https://x"}}]}]}'
    )
    found = SPOKEN["openai"].peek(hidden, frozenset()).findings
    assert [r.rule for v in found for r in v.reasons] == ["wire:fetched-content"]


FETCHED: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
    ],
    "anthropic": [
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
    ],
}


@st.composite
def conversations(draw: st.DrawFn, dialect: str) -> tuple[bytes, int]:
    """A request in any way of writing JSON, and how many parts of it the vendor would fetch."""
    fetched, messages = 0, []
    for _ in range(draw(st.integers(1, 4))):
        content: Any = draw(st.sampled_from(["hi", "\u00e9", '"content":"', "", []]))
        if draw(st.booleans()):
            bad = draw(st.lists(st.sampled_from(FETCHED[dialect]), max_size=2))
            content = draw(st.permutations([*bad, {"type": "text", "text": '{"type":"x"}'}]))
            fetched += len(bad)
        message = {"role": "user", "content": content}
        message |= draw(st.sampled_from([{}, {"name": "content"}, {"x": [{"content": "hi"}]}]))
        messages.append({n: message[n] for n in draw(st.permutations(list(message)))})
    written = json.dumps(
        {"model": "m", "max_tokens": 1, "messages": messages},
        indent=draw(st.sampled_from([None, 0, 3])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")])),
        ensure_ascii=draw(st.booleans()),
    )
    for name in draw(st.sets(st.sampled_from(['"content"', '"type"', '"role"', '"messages"']))):
        escaped = f'"\\u{ord(name[1]):04x}{name[2:]}'
        # Only where it is a name: strings that merely say so hold their quotes escaped.
        written = re.sub(rf"(?<!\\){name}(\s*:)", lambda m, e=escaped: e + m[1], written)
    return written.encode(), fetched


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@settings(deadline=None)
@given(data=st.data())
def test_what_would_be_fetched_is_found_however_the_request_is_written(
    dialect: str, data: st.DataObject
) -> None:
    source, fetched = data.draw(conversations(dialect))
    findings = SPOKEN[dialect].peek(source, frozenset()).findings
    assert [r.rule for v in findings for r in v.reasons] == ["wire:fetched-content"] * fetched


def test_findings_are_bounded_and_in_the_order_of_the_request() -> None:
    bad = [{"type": f"kind-{i}"} for i in range(1000)]
    findings = peek("openai", frozenset(), said(*bad)).findings
    assert len(findings) == FINDINGS_MAX
    assert [f"`kind-{i}`" in v.reasons[0].because for i, v in enumerate(findings)] == [
        True
    ] * FINDINGS_MAX


def test_a_callers_word_is_quoted_short_and_on_one_line() -> None:
    kind = "evil`\n" + "x" * 10_000
    because = peek("openai", frozenset(), said({"type": kind})).findings[0].reasons[0].because
    assert len(because) < 250
    assert "\n" not in because
    assert "evil'" in because


def test_every_known_field_is_one_the_official_clients_can_send() -> None:
    from anthropic.types import message_create_params as plain
    from anthropic.types.beta import message_create_params as beta
    from openai.types.chat import completion_create_params as chat

    openai = set(chat.CompletionCreateParamsStreaming.__annotations__)
    openai |= set(chat.CompletionCreateParamsBase.__annotations__)
    assert openai == OPENAI_KNOWN
    anthropic = set(plain.MessageCreateParamsBase.__annotations__)
    anthropic |= set(beta.MessageCreateParamsBase.__annotations__)
    sampling = {"temperature", "top_k", "top_p"}  # of older models; gone from the newest client
    at_bedrock = {"anthropic_version", "anthropic_beta"}
    assert anthropic | sampling | at_bedrock | {"stream", "output_format"} == ANTHROPIC_KNOWN
