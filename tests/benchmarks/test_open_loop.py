"""The open-loop generator leaves nothing out because its target was slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from benchmarks.load import chat_request
from benchmarks.open_loop import arrivals, percentile, steady

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Stalling(asyncio.Protocol):
    """Answers nothing until a moment, and from then on at once."""

    def __init__(self, until: float) -> None:
        self.until = until

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Every request comes in one piece."""
        loop = asyncio.get_running_loop()
        loop.call_at(max(self.until, loop.time()), self.transport.write, ANSWER)


@asynccontextmanager
async def serving(stall_seconds: float) -> AsyncIterator[int]:
    """A server that does nothing at all for a while, then is quick."""
    loop = asyncio.get_running_loop()
    until = loop.time() + stall_seconds
    server = await loop.create_server(lambda: Stalling(until), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_calls_that_were_due_during_a_stall_carry_it() -> None:
    """Goal: no coordinated omission.

    Method: a server stalls for half a second. A closed loop would make one slow call of it; every
    call that was due meanwhile must have waited for what was left of the stall.
    """
    async with serving(stall_seconds=0.5) as port:
        request = chat_request(port, "/", "key", streamed=False)
        found = await steady(port, request, rate=200, seconds=1.0)
    assert found.failed == 0
    assert len(found.times_ms) == found.offered
    slow = [ms for ms in found.times_ms if ms > 100]
    assert len(slow) > 0.25 * found.offered, "some 80 of 200 were due in the first 400 ms"
    assert max(slow) > 400


async def test_a_target_that_does_not_answer_in_time_does_not_follow() -> None:
    async with serving(stall_seconds=30) as port:
        request = chat_request(port, "/", "key", streamed=False)
        found = await steady(port, request, rate=100, seconds=0.3)
    assert not found.followed
    assert not found.times_ms


async def test_calls_to_nobody_fail() -> None:
    async with serving(stall_seconds=0) as port:
        pass
    found = await steady(port, b"", rate=100, seconds=0.2)
    assert found.failed == found.offered
    assert not found.followed


def test_arrivals_are_the_same_for_every_target_and_come_at_the_rate_asked_for() -> None:
    once, again = arrivals(100, 50, seed=1), arrivals(100, 50, seed=1)
    assert once == again
    assert once == sorted(once)
    assert len(once) == pytest.approx(5000, rel=0.05)


def test_a_percentile_is_a_value_that_was_seen() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert percentile([1.0, 2.0], 0.999) == 2.0
    assert percentile([], 0.5) != percentile([], 0.5), "not a number"
