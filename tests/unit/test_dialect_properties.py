"""What holds of every wire, whatever its streams look like and however they are cut."""

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.conversations import messages_of_answer
from quarterdeck.domain.dialects import WIRES, StreamReader, Wire
from quarterdeck.domain.dialects.request import words
from quarterdeck.domain.errors import Invalid
from tests.unit.wires import STREAMS, Sample

NAMES = sorted(STREAMS)
EVENT_WORDS = sorted(
    words(
        "type delta index choices usage message response candidates content parts error item "
        "output "
        "model usageMetadata text metadata contentBlockDelta"
    )
)
REQUEST_WORDS = sorted(
    words(
        "model messages input prompt contents parts role content text type tools stream source "
        "image inlineData fileData file_data generationConfig generation_config inferenceConfig "
        "toolConfig system systemInstruction maxTokens usage output n max_output_tokens store "
        "anthropic_version x"
    )
)
STREAMED = sorted(name for name, wire in WIRES.items() if wire.open_stream_reader is not None)


def opened(name: str, sample: Sample) -> StreamReader:
    """The reader a gateway would open for this stream."""
    wire = WIRES[name.split(" ")[0]]
    kind = "application/json" if sample.listed else ""
    reader = wire.reader_of(sample.stream[:64], kind, streamed=True)
    assert reader is not None
    return reader


def figures(reader: StreamReader) -> tuple[Any, ...]:
    return (
        reader.usage,
        reader.usage_so_far,
        reader.model,
        reader.finished,
        reader.error,
        reader.output_bytes,
        reader.answer(),
    )


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({p % (len(stream) + 1) for p in places} | {0, len(stream)})
    return [stream[a:b] for a, b in pairwise(ends)]


def test_every_streamed_wire_has_a_sample() -> None:
    shared = {"azure-chat", "azure-responses", "azure-completions"}  # the same functions
    assert {name.split(" ")[0] for name in NAMES} == set(STREAMED) - shared


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_stream_says_what_was_used(name: str) -> None:
    sample = STREAMS[name]
    reader = opened(name, sample)
    reader.feed(sample.stream)
    reader.close()
    assert reader.usage == sample.usage
    assert reader.finished
    assert reader.error is None
    assert reader.model == (None if name == "bedrock-converse" else "m-1")
    assert reader.output_bytes >= len(sample.text.encode())


@pytest.mark.parametrize("name", [n for n in NAMES if "completions" not in n])
def test_a_stream_put_together_reads_as_the_answer_it_is(name: str) -> None:
    sample = STREAMS[name]
    reader = opened(name, sample)
    reader.feed(sample.stream)
    [said] = messages_of_answer(orjson.loads(reader.answer()))
    texts = [block.value for block in said.blocks if block.kind == "text"]
    assert said.role == "assistant"
    assert sample.text in "".join(texts) or "gemini" in name
    wire = WIRES[name.split(" ")[0]]
    found = wire.usage_of_answer(reader.answer())
    assert found is not None
    assert found[0] == sample.usage


@pytest.mark.parametrize("name", NAMES)
@given(places=st.lists(st.integers(min_value=0, max_value=100_000), max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_stream_says_the_same_however_it_is_cut(name: str, places: list[int]) -> None:
    sample = STREAMS[name]
    whole, cut_up = opened(name, sample), opened(name, sample)
    whole.feed(sample.stream)
    for piece in cut(sample.stream, places):
        cut_up.feed(piece)
        assert cut_up.output_bytes >= 0, "asking in between changes nothing"
    whole.close()
    cut_up.close()
    assert figures(cut_up) == figures(whole)


@pytest.mark.parametrize("name", NAMES)
@given(at=st.integers(min_value=0, max_value=100_000))
@settings(max_examples=60, deadline=None)
def test_a_stream_that_breaks_off_never_reports_a_guess_as_final(name: str, at: int) -> None:
    sample = STREAMS[name]
    reader = opened(name, sample)
    reader.feed(sample.stream[: at % len(sample.stream)])
    reader.close()
    assert reader.usage in (None, sample.usage)
    orjson.loads(reader.answer())


@pytest.mark.parametrize("name", NAMES)
@given(
    at=st.integers(min_value=0, max_value=100_000),
    garbage=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(EVENT_WORDS),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(lambda held: b"data: " + json.dumps(held).encode() + b"\n\n"),
    ),
)
@settings(max_examples=150, deadline=None)
def test_garbage_in_a_stream_never_raises(name: str, at: int, garbage: bytes) -> None:
    sample = STREAMS[name]
    place = at % (len(sample.stream) + 1)
    reader = opened(name, sample)
    reader.feed(sample.stream[:place])
    reader.feed(garbage)
    reader.feed(sample.stream[place:])
    reader.close()
    figures(reader)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(REQUEST_WORDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("name", sorted(WIRES))
@given(body=st.binary(max_size=100) | JSON.map(lambda held: json.dumps(held).encode()))
@settings(max_examples=150, deadline=None)
def test_a_request_is_read_or_refused_in_words(name: str, body: bytes) -> None:
    wire = WIRES[name]
    try:
        request = wire.peek(body, frozenset())
    except Invalid:
        return
    assert request.tokens.input_max >= 0
    if not request.edits:
        assert request.forward is body


@pytest.mark.parametrize("name", sorted(WIRES))
@given(body=st.binary(max_size=100) | JSON.map(lambda held: json.dumps(held).encode()))
@settings(max_examples=100, deadline=None)
def test_any_bytes_may_be_an_answer(name: str, body: bytes) -> None:
    WIRES[name].usage_of_answer(body)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("name", sorted(WIRES))
def test_every_error_names_its_action(name: str, status: int) -> None:
    wire: Wire = WIRES[name]
    body = wire.error_body(status=status, code="denied", message="no", action="act_1")
    assert b"act_1" in body
    assert isinstance(orjson.loads(body), dict)
