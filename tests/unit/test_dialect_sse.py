"""Splitting server-sent events: the same whatever the cuts, byte for byte, in linear time."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.dialects.sse import Splitter, data_of

STREAMS = [
    b"data: one\n\ndata: two\n\ndata: [DONE]\n\n",
    b"event: a\r\ndata: one\r\n\r\nevent: b\r\ndata: two\r\n\r\n",
    b"data: one\r\rdata: two\r\rdata: cut",
    b"\xef\xbb\xbf: hello\n\n: keep-alive\n\ndata: x\ndata: y\n\n\n\ndata: z",
    b"data: mixed\n\r\ndata: ends\r\n\ndata: of\r\r\nline\n\n",
    b"\n\n\n\r\r\n\r\r",
    b"",
    b"data: \xc3\xa9\xe2\x82\xac\n\nretry: 10\n\nid",
]


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = Splitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.rest


def cuts(stream: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(at), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_cut_at_every_place_gives_the_same_events_and_loses_no_byte(stream: bytes) -> None:
    whole = split([stream])
    assert b"".join(whole[0]) + whole[1] == stream
    for first in range(len(stream) + 1):
        for second in range(first, min(first + 4, len(stream)) + 1):
            assert split(cuts(stream, [first, second])) == whole
    assert split([bytes([byte]) for byte in stream]) == whole


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"data: x", b"a", b":"]), max_size=12),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_any_stream_cut_anywhere_gives_the_same_events(pieces: list[bytes], at: list[int]) -> None:
    stream = b"".join(pieces)
    assert split(cuts(stream, [min(i, len(stream)) for i in at])) == split([stream])


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"x", b"data: x"]), max_size=12))
def test_each_event_ends_with_its_first_blank_line(pieces: list[bytes]) -> None:
    """Checked against a reader that takes one line at a time."""
    stream = b"".join(pieces)
    events, rest = split([stream])
    lines = (stream + b"|").splitlines(keepends=True)  # `|`: a last CR is then a whole line end
    lines[-1] = lines[-1].removesuffix(b"|")
    expected, held, content = [], b"", False
    for line in lines:
        held += line
        if line.strip(b"\r\n"):
            content = True
        elif line and (content or len(held) > len(line)):
            expected.append(held)
            held, content = b"", False
    # An event that ends in a bare CR may be held: nobody knows yet whether an LF belongs to it.
    if stream.endswith(b"\r") and expected and not held and events != expected:
        held = expected.pop()
    assert (events, rest) == (expected, held)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\r\n\r\n", b"x"),
        (b"data:  x\n\n", b" x"),
        (b"event: message\ndata: {}\nid: 7\n\n", b"{}"),
        (b"data: a\ndata\ndata: b\r\r", b"a\n\nb"),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b": a comment\n\n", b""),
        (b"database: x\n\n", b""),
        (b"data: x\n\n\n", b"x"),
        (b"data: cut", b"cut"),
        (b"\n\n", b""),
    ],
)
def test_the_data_of_an_event_is_its_data_lines(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n"])
def test_an_event_beyond_the_limit_passes_unsplit_from_there_on(ends: bytes) -> None:
    splitter = Splitter(event_bytes_max=100)
    chunks = [b"data: a" + ends, b"data: " + b"x" * 90, b"y" * 20, b"z" + ends, b"data: b" + ends]
    passed = [splitter.feed(chunk) for chunk in chunks]
    assert passed[0] == [chunks[0]]
    assert passed[1] == []
    assert splitter.passing
    assert passed[2:] == [[chunks[1] + chunks[2]], [chunks[3]], [chunks[4]]]
    assert splitter.rest == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_large_event_in_small_chunks_takes_linear_time(end: bytes) -> None:
    """Goal: no quadratic rescanning. Method: eight times the bytes may not take 30 times as long;
    scanning from the start at each chunk would take 64 times as long."""

    def seconds(chunks: int) -> float:
        splitter = Splitter()
        line = b"data: " + b"x" * 120 + end
        started = time.process_time()
        for _ in range(chunks):
            splitter.feed(line)
        assert len(splitter.feed(end)) == 1
        return time.process_time() - started

    small = min(seconds(5_000) for _ in range(3))
    assert seconds(40_000) < 30 * small + 0.05
