"""Following a streamed answer: figures right at any time, the answer put together at the end."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.dialects import SPOKEN, StreamReader
from quarterdeck.domain.dialects import stream as streams
from quarterdeck.domain.money import Usage

OPENAI, ANTHROPIC = SPOKEN["openai"], SPOKEN["anthropic"]


def chunk(*choices: dict[str, Any], **fields: Any) -> bytes:
    whole = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "gpt-x"}
    written = json.dumps(whole | {"choices": list(choices)} | fields, ensure_ascii=False)
    return b"data: " + written.encode() + b"\n\n"


def delta(finish: str | None = None, index: int = 0, **said: Any) -> dict[str, Any]:
    return {"index": index, "delta": said, "finish_reason": finish}


def call(index: int | None, **said: Any) -> dict[str, Any]:
    numbered = {} if index is None else {"index": index}
    return delta(tool_calls=[numbered | said])


def event(kind: str, **fields: Any) -> bytes:
    written = json.dumps({"type": kind} | fields, ensure_ascii=False)
    return f"event: {kind}\ndata: {written}\n\n".encode()


def read(wire: Any, *chunks: bytes) -> StreamReader:
    reader: StreamReader = wire.open_stream_reader()
    for piece in chunks:
        reader.feed(piece)
    return reader


DONE = b"data: [DONE]\n\n"
OPENAI_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
OPENAI_STREAM = [
    chunk(delta(role="assistant", content="")),
    chunk(delta(reasoning_content="hm")),
    chunk(delta(content="H\u00e9")),
    chunk(delta(content="llo")),
    chunk(call(0, id="t1", type="function", function={"name": "look", "arguments": ""})),
    chunk(call(0, function={"arguments": '{"a":'})),
    chunk(call(1, id="t2", type="function", function={"name": "go", "arguments": "{}"})),
    chunk(call(0, function={"arguments": "1}"})),
    chunk(delta("tool_calls")),
    chunk(usage=OPENAI_USAGE),
    DONE,
]
ANTHROPIC_STREAM = [
    event(
        "message_start",
        message={
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [],
            "stop_reason": None,
            "usage": {
                "input_tokens": 11,
                "cache_read_input_tokens": 3,
                "cache_creation_input_tokens": 2,
                "output_tokens": 1,
            },
        },
    ),
    event("ping"),
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
    event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "sig"}),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "H\u00e9llo"}),
    event("content_block_delta", index=1, delta={"type": "citations_delta", "citation": {"n": 1}}),
    event("content_block_stop", index=1),
    event(
        "content_block_start",
        index=2,
        content_block={"type": "tool_use", "id": "t1", "name": "look", "input": {}},
    ),
    event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": ""}),
    event(
        "content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"a":'}
    ),
    event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": "1}"}),
    event("content_block_stop", index=2),
    event(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None},
        usage={"output_tokens": 30},
    ),
    event("message_stop"),
]
WHOLE = {"openai": OPENAI_STREAM, "anthropic": ANTHROPIC_STREAM}
USED = {
    "openai": Usage(input=15, cache_read=5, output=5, reasoning=4),
    "anthropic": Usage(input=11, cache_read=3, cache_write=2, output=30),
}


def figures(reader: StreamReader) -> tuple[Any, ...]:
    return (
        reader.usage,
        reader.usage_so_far,
        reader.model,
        reader.finished,
        reader.error,
        reader.output_bytes,
        json.loads(reader.answer()),
    )


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@given(size=st.integers(1, 400), asking=st.booleans())
@settings(max_examples=60, deadline=None)
def test_chunks_of_any_size_asked_at_any_time_give_the_same_figures(
    dialect: str, size: int, asking: bool
) -> None:
    stream = b"".join(WHOLE[dialect])
    reader = SPOKEN[dialect].open_stream_reader()
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
        if asking:
            figures(reader)
    assert figures(reader) == figures(read(SPOKEN[dialect], stream))
    assert reader.usage == USED[dialect]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_every_prefix_of_a_stream_can_be_asked_and_nothing_shrinks(dialect: str) -> None:
    stream = b"".join(WHOLE[dialect])
    seen, kept = 0, ""
    for at in range(0, len(stream) + 1, 7):
        reader = read(SPOKEN[dialect], stream[:at])
        reader.close()
        assert reader.output_bytes >= seen
        assert reader.finished == (DONE[:-2] in stream[:at] or b'"message_stop"}' in stream[:at])
        answer = reader.answer()
        text = SPOKEN[dialect].text_of(answer)
        assert text.startswith(kept)
        seen, kept = reader.output_bytes, text
    assert kept == "H\u00e9llo"


def test_a_streamed_chat_completion_is_put_together_as_if_it_had_not_been_streamed() -> None:
    reader = read(OPENAI, *OPENAI_STREAM)
    answer = reader.answer()
    assert json.loads(answer) == {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-x",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "H\u00e9llo",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {
                            "id": "t1",
                            "type": "function",
                            "function": {"name": "look", "arguments": '{"a":1}'},
                        },
                        {
                            "id": "t2",
                            "type": "function",
                            "function": {"name": "go", "arguments": "{}"},
                        },
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": json.loads(answer)["usage"],
    }
    assert OPENAI.usage_of_answer(answer) == (reader.usage, "gpt-x")
    assert [(c.name, c.arguments) for c in OPENAI.tool_calls(answer)] == [
        ("look", b'{"a":1}'),
        ("go", b"{}"),
    ]
    written = "hmH\u00e9llolook" + '{"a":1}' + "go{}"
    assert reader.output_bytes == len(written.encode())


def test_a_streamed_message_is_put_together_as_if_it_had_not_been_streamed() -> None:
    reader = read(ANTHROPIC, *ANTHROPIC_STREAM)
    answer = reader.answer()
    assert json.loads(answer) == {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "text", "text": "H\u00e9llo", "citations": [{"n": 1}]},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 11,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 2,
            "output_tokens": 30,
        },
    }
    assert ANTHROPIC.usage_of_answer(answer) == (reader.usage, "claude-x")
    assert reader.output_bytes == len("hmH\u00e9llolook".encode()) + len('{"a":1}')


def test_the_first_guess_at_the_output_is_no_usage_but_serves_an_estimate() -> None:
    """A stream that breaks off has said what went in, and only one token of what came out."""
    reader = read(ANTHROPIC, *ANTHROPIC_STREAM[:-2])
    assert reader.usage is None
    assert not reader.finished
    assert reader.usage_so_far == Usage(
        input=11, cache_read=3, cache_write=2, output=reader.output_bytes
    )


def test_a_running_count_is_no_usage_before_every_choice_has_ended() -> None:
    running = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    reader = read(
        OPENAI,
        chunk(delta(content="a" * 50), usage=running),
        chunk(delta("stop", index=1), usage=running | {"completion_tokens": 2, "total_tokens": 5}),
    )
    assert reader.usage is None
    assert reader.usage_so_far == Usage(input=3, output=50)
    reader.feed(chunk(delta("stop"), usage=running | {"completion_tokens": 6, "total_tokens": 9}))
    assert reader.usage == Usage(input=3, output=6)


def test_a_stream_that_ends_without_its_blank_line_counts_once_it_is_closed() -> None:
    reader = read(OPENAI, *OPENAI_STREAM[:-1], b"data: [DONE]\n")
    assert not reader.finished
    reader.close()
    reader.close()
    assert reader.finished
    assert reader.usage == USED["openai"]


def test_updated_input_in_the_last_word_replaces_the_first() -> None:
    last = event(
        "message_delta",
        delta={"stop_reason": "end_turn"},
        usage={"input_tokens": 99, "cache_read_input_tokens": 0, "output_tokens": 4},
    )
    reader = read(ANTHROPIC, ANTHROPIC_STREAM[0], last)
    assert reader.usage == Usage(input=99, cache_write=2, output=4)


@pytest.mark.parametrize(
    ("dialect", "reported", "says"),
    [
        ("openai", b'data: {"error":{"message":"too busy","code":503}}\n\n', "503: too busy"),
        ("openai", b'data: {"error":"no"}\n\n', "no"),
        (
            "anthropic",
            event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
            "overloaded_error: Overloaded",
        ),
    ],
)
def test_an_error_inside_a_stream_is_told_in_the_vendors_words(
    dialect: str, reported: bytes, says: str
) -> None:
    reader = read(SPOKEN[dialect], *WHOLE[dialect][:4])
    assert reader.error is None
    reader.feed(reported)
    assert reader.error == says
    assert not reader.finished


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_garbage_in_a_stream_is_counted_and_hides_nothing_else(dialect: str) -> None:
    stream = WHOLE[dialect]
    garbage = b"data: {not json\n\ndata: \xff\xfe\n\ndata: 7\n\ndata: []\n\ndata: " + b"[" * 9999
    reader = read(SPOKEN[dialect], *stream[:3], garbage + b"\n\n", *stream[3:])
    assert reader.usage == USED[dialect]
    assert reader.finished
    assert SPOKEN[dialect].text_of(reader.answer()) == "H\u00e9llo"
    clean = read(SPOKEN[dialect], *stream).output_bytes
    assert reader.output_bytes >= clean + 9999


def test_usage_is_read_even_from_a_chunk_whose_choices_cannot_be() -> None:
    odd = chunk(delta("stop", content=[{"type": "text", "text": "x"}]), usage=OPENAI_USAGE)
    reader = read(OPENAI, odd, DONE)
    assert reader.usage == USED["openai"]
    assert reader.output_bytes > 0


@pytest.mark.parametrize(
    "calls",
    [
        # no index at all, each call whole
        [
            call(None, id="a", function={"name": "f", "arguments": "{}"}),
            call(None, id="b", function={"name": "g", "arguments": "[]"}),
        ],
        # one index for all
        [
            call(0, id="a", function={"name": "f", "arguments": "{}"}),
            call(0, id="b", function={"name": "g", "arguments": "["}),
            call(0, id="b", function={"arguments": "]"}),
        ],
        # no index, in pieces
        [
            call(None, id="a", function={"name": "f", "arguments": "{"}),
            call(None, function={"arguments": "}"}),
            call(None, id="b", function={"name": "g", "arguments": "[]"}),
        ],
    ],
)
def test_tool_calls_of_servers_that_number_them_badly_stay_apart(calls: list[Any]) -> None:
    answer = read(OPENAI, *(chunk(c) for c in calls), DONE).answer()
    assert [(c.id, c.name, c.arguments) for c in OPENAI.tool_calls(answer)] == [
        ("a", "f", b"{}"),
        ("b", "g", b"[]"),
    ]


def test_custom_and_older_calls_audio_and_several_choices_are_kept() -> None:
    reader = read(
        OPENAI,
        chunk(call(0, id="a", type="custom", custom={"name": "f", "input": "x ="})),
        chunk(call(0, custom={"input": " 1"})),
        chunk(delta(index=1, refusal="no"), delta(index=1, refusal="!")),
        chunk(delta(index=2, function_call={"name": "g", "arguments": "{"})),
        chunk(delta(index=2, function_call={"arguments": "}"})),
        chunk(delta(index=3, audio={"id": "s", "transcript": "hel"})),
        chunk(delta(index=3, audio={"transcript": "lo", "data": "AA=="})),
    )
    choices = json.loads(reader.answer())["choices"]
    assert [c["index"] for c in choices] == [0, 1, 2, 3]
    assert choices[0]["message"]["tool_calls"][0]["custom"] == {"name": "f", "input": "x = 1"}
    assert choices[1]["message"]["refusal"] == "no!"
    assert choices[2]["message"]["function_call"] == {"name": "g", "arguments": "{}"}
    assert choices[3]["message"]["audio"] == {"id": "s", "transcript": "hello", "data": "AA=="}


def test_arguments_that_broke_off_are_kept_as_the_text_they_are() -> None:
    answer = json.loads(read(ANTHROPIC, *ANTHROPIC_STREAM[:13]).answer())
    assert answer["content"][2]["input"] == '{"a":'
    assert answer["stop_reason"] is None


def test_blocks_that_come_whole_with_their_start_are_kept_and_counted() -> None:
    reader = read(
        ANTHROPIC,
        event("content_block_start", index=0, content_block={"type": "text", "text": "abc"}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "def"}),
        event(
            "content_block_start",
            index=1,
            content_block={"type": "redacted_thinking", "data": "xyz"},
        ),
        event("content_block_delta", index=5, delta={"type": "text_delta", "text": "lost start"}),
    )
    content = json.loads(reader.answer())["content"]
    assert content[0] == {"type": "text", "text": "abcdef"}
    assert content[1] == {"type": "redacted_thinking", "data": "xyz"}
    assert content[2] == {"text": "lost start"}
    assert reader.output_bytes == 9 + len("lost start")


def test_what_is_kept_is_bounded_and_what_is_counted_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "ANSWER_BYTES_MAX", 2000)
    for wire, piece in (
        (OPENAI, chunk(delta(content="x" * 100))),
        (
            ANTHROPIC,
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 100}),
        ),
    ):
        reader = read(wire, *([piece] * 50))
        assert reader.output_bytes == 5000
        assert 0 < len(reader.answer()) < 3000


def test_an_event_too_large_to_split_is_counted_whole() -> None:
    reader = read(OPENAI, OPENAI_STREAM[2], b"data: " + b"x" * (9 * 1024 * 1024), DONE)
    assert reader.output_bytes > 9 * 1024 * 1024
    assert reader.usage is None


@pytest.mark.parametrize(
    ("passing", "withheld"),
    [
        (OPENAI_STREAM[9], True),
        (b'data: {"choices" : [ ], "usage":{"prompt_tokens":1}}\r\n\r\n', True),
        (OPENAI_STREAM[0], False),
        (chunk(delta("stop"), usage=OPENAI_USAGE), False),
        (chunk(usage=None), False),
        (chunk(prompt_filter_results=[]), False),
        (chunk(delta(content='"choices":[]'), usage=OPENAI_USAGE), False),
        (DONE, False),
        (b'data: {"choices":[],"usage":\n\n', False),
        (b": ping\n\n", False),
    ],
)
def test_only_the_event_that_merely_reports_usage_is_withheld(
    passing: bytes, withheld: bool
) -> None:
    assert OPENAI.is_usage_only(passing) is withheld
    assert ANTHROPIC.is_usage_only is None
