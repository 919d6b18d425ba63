"""One answer of an MCP server over HTTP as the messages in it: a body of JSON, or a stream of them.

INVARIANT: no more than SERVER_ANSWER_BYTES_MAX of one message is held, whatever is sent; and a
server that sends many small ones gets only a share of the loop's time.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from quarterdeck.domain.dialects.sse import Splitter, data_of
from quarterdeck.domain.limits import (
    SERVER_ANSWER_BYTES_MAX,
    SERVER_MESSAGES_AT_ONCE,
    SERVER_MESSAGES_MILLISECONDS,
    SERVER_STREAM_BYTES_MAX,
)
from quarterdeck.domain.mcp.exchanges import Heard, Unreadable, depth_steps, heard
from quarterdeck.upstream.connection import Connection

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"


@dataclass(slots=True)
class Place:
    """How far a stream was read, so that it can be gone on with after it was cut."""

    last_id: str = ""
    retry_milliseconds: int | None = None


async def messages(response: Connection, place: Place) -> AsyncIterator[Heard]:
    """The messages of an answer in order. Raises Unreadable where it is none of the protocol's."""
    encoding = response.header("content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise Unreadable("its answer is compressed, which nobody asked for")
    length = response.header("content-length")
    if length.isdecimal() and int(length[:20]) > SERVER_ANSWER_BYTES_MAX:
        raise too_large()
    kind = response.header("content-type").partition(";")[0].strip().lower()
    if kind == JSON:
        yield await read(await body_of(response, SERVER_ANSWER_BYTES_MAX))
    elif kind == EVENTS:
        async for message in _events(response, place):
            yield message
    else:
        raise Unreadable(f"its answer is of the type `{kind[:60]}`, not {JSON} or {EVENTS}")


async def body_of(response: Connection, bytes_max: int) -> bytes:
    """A whole body; one that is larger is given up as soon as that shows."""
    first = await response.more()
    if response.is_whole and len(first) <= bytes_max:
        return first
    read_so_far = bytearray(first)
    while len(read_so_far) <= bytes_max:
        chunk = await response.more()
        if not chunk:
            return bytes(read_so_far)
        read_so_far += chunk
    raise too_large()


async def read(line: bytes) -> Heard:
    """One message, looked at in slices so that a large one does not hold up everybody else."""
    message = heard(line)
    for _ in depth_steps(line):
        await asyncio.sleep(0)
    return message


class Pace:
    """Slows down whoever talks very much, and nobody else."""

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0

    async def step(self) -> None:
        """One more message."""
        self._count += 1
        if self._count < SERVER_MESSAGES_AT_ONCE:
            return
        loop, self._count = asyncio.get_running_loop(), 0
        rest = self._since + SERVER_MESSAGES_MILLISECONDS / 1000 - loop.time()
        if rest > 0:
            await asyncio.sleep(rest)
        self._since = loop.time()


async def _events(response: Connection, place: Place) -> AsyncIterator[Heard]:
    splitter = Splitter(event_bytes_max=SERVER_ANSWER_BYTES_MAX)
    pace, total = Pace(), 0
    while chunk := await response.more():
        total += len(chunk)
        if total > SERVER_STREAM_BYTES_MAX:
            raise too_large()
        events = splitter.feed(chunk)
        if splitter.passing:
            raise too_large()
        for event in events:
            await pace.step()
            _note(event, place)
            data = data_of(event)
            if data:
                yield await read(data)


def _note(event: bytes, place: Place) -> None:
    """Where the server would go on, and how long to wait before asking it to."""
    if not event.startswith((b"id", b"retry")) and b"\nid" not in event and b"\nretry" not in event:
        return
    for line in event.splitlines():
        name, _, value = line.partition(b":")
        if name == b"id":
            place.last_id = value.strip().decode("latin-1")
        elif name == b"retry" and value.strip().isdigit():
            place.retry_milliseconds = int(value[:12])


def too_large() -> Unreadable:
    """What is said of an answer that does not end in time."""
    return Unreadable(f"its answer is larger than {SERVER_ANSWER_BYTES_MAX // 1024 // 1024} MB")
