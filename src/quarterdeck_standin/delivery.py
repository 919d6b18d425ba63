"""Playing a performance onto a connection: delays, stalls, cuts, callers who hang up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import Receive, Send

from quarterdeck_standin.conversation import Performance, Piece
from quarterdeck_standin.tally import End

# A stall without a length ends when the caller hangs up; this bounds it all the same.
STALL_SECONDS_MAX: Final = 3600.0


class HungUp(Exception):
    """The caller closed the connection before the reply was whole."""


class CutOff(Exception):
    """The script says the connection ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The status line and headers of a reply."""

    status: int
    headers: tuple[tuple[str, str], ...]


class Line:
    """One caller on the line: what is sent to it, and whether it is still there."""

    def __init__(self, receive: Receive, send: Send, transport: asyncio.Transport | None) -> None:
        self._send = send
        self._transport = transport
        self._hang_up = asyncio.ensure_future(_until_hung_up(receive))

    async def wait(self, seconds: float) -> None:
        """Wait, unless the caller hangs up first."""
        if seconds > 0:
            await asyncio.wait({self._hang_up}, timeout=seconds)
        else:
            await asyncio.sleep(0)  # lets other requests in, and the hang-up be seen
        self.check()

    def check(self) -> None:
        """Raise if the caller is gone."""
        if self._hang_up.done():
            raise HungUp

    async def start(self, head: Head) -> None:
        """Send status and headers."""
        headers = [(name.encode(), value.encode()) for name, value in head.headers]
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def write_bare(self, body: bytes) -> None:
        """Put bytes on the connection as they are."""
        assert self._transport is not None, "bare replies need the stand-in's own server"
        self._transport.write(body)

    async def hang_up(self) -> None:
        """Close the connection from this end."""
        assert self._transport is not None, "bare replies need the stand-in's own server"
        self._transport.close()
        # Until the server has noticed, it would still write a 500 of its own.
        await asyncio.wait({self._hang_up})

    async def close(self) -> None:
        """Stop watching the caller."""
        self._hang_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._hang_up


async def play(line: Line, head: Head, pieces: Iterator[Piece], performance: Performance) -> End:
    """Send a reply as its performance says, and say how it ended."""
    try:
        await line.wait(performance.wait_seconds)
        await line.start(head)
        async for piece in _played(line, pieces, performance):
            await line.write(piece.body, more=True)
        line.check()
    except HungUp:
        return "cancelled"
    except CutOff:
        return "broken"
    return "answered"


async def play_bare(line: Line, pieces: Iterator[Piece], performance: Performance) -> End:
    """Send bytes without HTTP around them and end the connection."""
    try:
        await line.wait(performance.wait_seconds)
        async for piece in _played(line, pieces, performance):
            line.write_bare(piece.body)
    except HungUp:
        return "cancelled"
    except CutOff:
        pass
    await line.hang_up()
    return "broken"


async def _played(
    line: Line, pieces: Iterator[Piece], performance: Performance
) -> AsyncIterator[Piece]:
    """The pieces, each when it is due, as far as the performance lets them come."""
    sent = 0
    stop = performance.cut_after_bytes
    stall = performance.stall_after_bytes
    for piece in pieces:
        await line.wait(piece.delay_seconds)
        for part in _parts(piece, sent, (stall, stop)):
            yield part
            sent += len(part.body)
            if stall is not None and sent >= stall:
                await line.wait(performance.stall_seconds or STALL_SECONDS_MAX)
                stall = None
            if stop is not None and sent >= stop:
                raise CutOff
    if performance.stall_seconds and performance.stall_after_bytes is None:
        await line.wait(performance.stall_seconds)
    if performance.cut:
        raise CutOff


def _parts(piece: Piece, sent: int, marks: tuple[int | None, ...]) -> list[Piece]:
    """A piece cut at those marks that fall inside it, counted from the reply's first byte."""
    inside = {mark - sent for mark in marks if mark is not None}
    ends = sorted({at for at in inside if 0 < at < len(piece.body)} | {len(piece.body)})
    starts = [0, *ends[:-1]]
    return [
        replace(piece, body=piece.body[start:end]) for start, end in zip(starts, ends, strict=True)
    ]


async def _until_hung_up(receive: Receive) -> None:
    message: dict[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = dict(await receive())
