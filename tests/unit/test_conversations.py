"""A conversation reads the same whatever vendor's format it came in, and nothing of it is lost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.conversations import Block, ending_of, message_of, messages_of_answer

CALL = Block(kind="call", name="look_up", id="c1", value={"n": 7})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "parts",
                    "tool_calls",
                    "function",
                    "input",
                    "name",
                    "toolUse",
                    "functionCall",
                    "output",
                    "choices",
                    "message",
                    "candidates",
                    "image",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "part",
    [
        {"role": "user", "content": "hello"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"role": "user", "parts": [{"text": "hello"}]},
        {"role": "user", "content": [{"text": "hello"}]},
    ],
)
def test_words_are_words_in_every_format(part: Any) -> None:
    message = message_of(part)
    assert message.role == "user"
    assert message.blocks == (Block(kind="text", value="hello"),)


@pytest.mark.parametrize(
    "part",
    [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "look_up", "arguments": '{"n": 7}'}}],
        },
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "look_up", "input": {"n": 7}}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": '{"n":7}'},
        {
            "role": "model",
            "parts": [{"functionCall": {"id": "c1", "name": "look_up", "args": {"n": 7}}}],
        },
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "c1", "name": "look_up", "input": {"n": 7}}}],
        },
    ],
)
def test_a_call_is_a_call_in_every_format(part: Any) -> None:
    message = message_of(part)
    assert message.role == "assistant"
    assert message.blocks == (CALL,)


@pytest.mark.parametrize(
    ("part", "failed"),
    [
        ({"role": "tool", "tool_call_id": "c1", "content": '{"ok": 1}'}, False),
        (
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "is_error": True,
                        "content": [{"type": "text", "text": '{"ok": 1}'}],
                    }
                ],
            },
            True,
        ),
        ({"type": "function_call_output", "call_id": "c1", "output": '{"ok": 1}'}, False),
        (
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "c1",
                            "status": "error",
                            "content": [{"json": {"ok": 1}}],
                        }
                    }
                ],
            },
            True,
        ),
        (
            {"role": "user", "parts": [{"functionResponse": {"id": "c1", "response": {"ok": 1}}}]},
            False,
        ),
    ],
)
def test_a_result_is_a_result_in_every_format(part: Any, failed: bool) -> None:
    block = message_of(part).blocks[0]
    assert (block.kind, block.id, block.value, block.failed) == ("result", "c1", {"ok": 1}, failed)


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"},
            },
            "image/png",
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,aaaa"}}, "image/jpeg"),
        ({"type": "input_image", "image_url": "data:image/webp;base64,aaaa"}, "image/webp"),
        ({"inlineData": {"mimeType": "audio/wav", "data": "aaaa"}}, "audio/wav"),
        ({"image": {"format": "png", "source": {"bytes": "aaaa"}}}, "png"),
    ],
)
def test_a_picture_is_named_and_never_shown(block: Any, name: str) -> None:
    found = message_of({"role": "user", "content": [block]}).blocks[0]
    assert (found.kind, found.name) == ("media", name)
    assert isinstance(found.value, int)


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (
            {
                "choices": [
                    {"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
                ]
            },
            "stop",
        ),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "text", "text": "yes"}],
                "stop_reason": "end_turn",
            },
            "end_turn",
        ),
        (
            {
                "output": [
                    {
                        "type": "message",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "yes"}],
                    }
                ],
                "status": "completed",
            },
            "completed",
        ),
        (
            {
                "candidates": [
                    {
                        "content": {"role": "model", "parts": [{"text": "yes"}]},
                        "finishReason": "STOP",
                    }
                ]
            },
            "STOP",
        ),
        (
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
                "stopReason": "end_turn",
            },
            "end_turn",
        ),
    ],
)
def test_an_answer_is_a_message_in_every_format(answer: Any, ending: str) -> None:
    (message,) = messages_of_answer(answer)
    assert message.role == "assistant"
    assert message.blocks == (Block(kind="text", value="yes"),)
    assert ending_of(answer) == ending


def test_what_an_answers_items_say_is_one_turn() -> None:
    answer = {
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": "Let me look."},
            {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": '{"n":7}'},
        ]
    }
    (message,) = messages_of_answer(answer)
    assert [block.kind for block in message.blocks] == ["thinking", "text", "call"]
    assert message.blocks[0].value == "hm"


def test_what_has_no_shape_known_here_is_kept_as_it_is() -> None:
    odd = {"type": "hologram", "beams": 3}
    assert message_of({"role": "user", "content": [odd]}).blocks == (
        Block(kind="other", name="hologram", value=odd),
    )
    assert messages_of_answer({"data": [{"embedding": [0.1]}]}) == ()


@given(JSON)
def test_anything_can_be_read(value: Any) -> None:
    assert message_of(value).blocks or message_of(value).role
    messages_of_answer(value)
    ending_of(value)
