"""A process behind a server's command, and the requests that it works on at once.

INVARIANT: what was written and not answered is a `TimeoutError`.
On these pipes nothing says to which request a server's own question belongs: one that comes while
several are under way that could answer it is refused.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

import msgspec
from msgspec import Raw

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import EFFECT_SECONDS_MAX
from quarterdeck.domain.mcp.asks import OnSaid, Reply, Said
from quarterdeck.domain.mcp.exchanges import (
    REFUSED,
    Answered,
    Discovered,
    Heard,
    Unreadable,
    Wanted,
    notice,
    reply_to,
    written,
)
from quarterdeck.domain.mcp.messages import joined
from quarterdeck.upstream.tools.mcp_process import CommandProcess
from quarterdeck.upstream.tools.mcp_stream import read

LIST_CHANGED: Final = "notifications/tools/list_changed"
_PONG: Final = Reply(result=b"{}")
_CANCELLED: Final = b'{"requestId":%d,"reason":"nobody waits for the answer any more"}'
_PROGRESS: Final = "progressToken"


@dataclass(slots=True)
class _Open:
    """One request that waits for its answer."""

    wanted: Wanted
    on_said: OnSaid | None
    answer: "asyncio.Future[Answered]"
    hearing: asyncio.Task[None] | None = None
    said: "asyncio.Queue[tuple[Heard, bytes]] | None" = None


class RunningCommand:
    """A process that was met, and the requests it works on."""

    def __init__(
        self,
        process: CommandProcess,
        name: str,
        numbers: "count[int]",
        *,
        shown: bytes,
        changed: Callable[[], None],
    ) -> None:
        self.process = process
        #: A hash of the values it was started with.
        self.shown = shown
        self._is_idle = asyncio.Event()
        self._changed = changed
        self.name = name
        self.said: Discovered | None = None
        self.is_over = False
        self._numbers = numbers
        self._open: dict[int, _Open] = {}
        self.reading = asyncio.create_task(self._read())

    async def ask(self, wanted: Wanted, version: str, on_said: OnSaid | None) -> Answered:
        """One exchange; the last look is just before the line is written."""
        number = next(self._numbers)
        if _PROGRESS in wanted.meta:
            # All callers share the pipe, and their tokens may be the same.
            meta = {**wanted.meta, _PROGRESS: Raw(str(number).encode())}
            line = written(msgspec.structs.replace(wanted, meta=meta), number, version)
        else:
            line = written(wanted, number, version)
        waiting = _Open(wanted, on_said, asyncio.get_running_loop().create_future())
        if self.is_over:
            raise Unavailable(f"server `{self.name}` has just ended", hint="try again")
        wanted.look()
        self._open[number] = waiting
        try:
            await self._send(line)
            return await waiting.answer
        finally:
            del self._open[number]
            self._is_idle.set()
            if waiting.hearing is not None:
                waiting.hearing.cancel()
            if not waiting.answer.done() or waiting.answer.cancelled():
                await self._tell(notice("notifications/cancelled", _CANCELLED % number))

    async def leave(self) -> None:
        """End the process once it has ended what it works on: each of that has a time of its own.

        Between the last look and the end nobody else runs, so that nothing is begun and cut off.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EFFECT_SECONDS_MAX):
                while self._open and not self.is_over:
                    self._is_idle.clear()
                    await self._is_idle.wait()
        await self.end()

    async def end(self, *, is_urgent: bool = False) -> None:
        """End the process; what it worked on is in doubt."""
        self.is_over = True
        self.reading.cancel()
        await self.process.end(is_urgent=is_urgent)
        await asyncio.wait((self.reading,))
        self._fail("ended")

    @property
    def calls(self) -> int:
        """How many requests it works on."""
        return len(self._open)

    async def _send(self, line: bytes) -> None:
        try:
            await self.process.send(line)
        except (ConnectionError, OSError) as error:
            raise TimeoutError(f"server `{self.name}` ended before it answered") from error

    async def _tell(self, line: bytes) -> None:
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(1):
                await self._send(line)

    async def _read(self) -> None:
        because = "ended"
        try:
            async for line in self.process.lines():
                await self._take(line)
        except Unreadable as error:
            because = f"was ended: {error}"
        finally:
            self.is_over = True
            self._fail(because)

    async def _take(self, line: bytes) -> None:
        try:
            message = await read(line)
        except Unreadable:
            return  # something printed between the messages
        if message.is_answer:
            waiting = self._open.get(message.id) if isinstance(message.id, int) else None
            if waiting is not None and not waiting.answer.done():
                result = bytes(message.result) if len(message.result) else None
                answer = Answered(result=result, error=bytes(message.error))
                self._settle(waiting, answer)
            return
        assert message.method is not None
        if message.method == "ping" and message.id is not None:
            await self._tell(reply_to(message.id, _PONG))
            return
        if message.method == LIST_CHANGED:
            self._changed()
        whose, params = self._belongs(message)
        if whose is not None:
            self._hear(whose, message, params)
        elif message.id is not None:
            await self._tell(reply_to(message.id, REFUSED))

    def _settle(self, waiting: _Open, answer: Answered) -> None:
        """The answer; what was said before it is heard first."""
        if waiting.said is None or waiting.said.empty():
            waiting.answer.set_result(answer)
            return
        waiting.said.put_nowait(
            (Heard(result=Raw(answer.result or b""), error=Raw(answer.error)), b"")
        )

    def _belongs(self, message: Heard) -> tuple[_Open | None, bytes]:
        """To which request something said belongs; its own progress token goes back into it."""
        params = bytes(message.params) or b"{}"
        token = _token_of(message.params)
        if token is not None:
            waiting = self._open.get(token)
            if waiting is None or _PROGRESS not in waiting.wanted.meta:
                return None, params
            return waiting, _with_token(message.params, waiting.wanted.meta[_PROGRESS])
        able = [w for w in self._open.values() if w.on_said is not None]
        return (able[0] if len(able) == 1 else None), params

    def _hear(self, waiting: _Open, message: Heard, params: bytes) -> None:
        """Hand it over in order, without holding up the others on the same pipe."""
        if waiting.on_said is None:
            return
        if waiting.said is None:
            waiting.said = asyncio.Queue()
            waiting.hearing = asyncio.create_task(self._heard(waiting, waiting.on_said))
        waiting.said.put_nowait((message, params))

    async def _heard(self, waiting: _Open, on_said: OnSaid) -> None:
        assert waiting.said is not None
        while True:
            message, params = await waiting.said.get()
            if message.method is None:
                result = bytes(message.result) if len(message.result) else None
                if not waiting.answer.done():
                    waiting.answer.set_result(Answered(result=result, error=bytes(message.error)))
                return
            said = Said(method=message.method, params=params, is_request=message.id is not None)
            try:
                reply = await on_said(said)
            except Exception as error:  # noqa: BLE001  it ends the exchange, as its caller is told
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
                return
            if message.id is not None:
                await self._tell(reply_to(message.id, reply or REFUSED))

    def _fail(self, because: str) -> None:
        for waiting in self._open.values():
            if not waiting.answer.done():
                error = TimeoutError(f"server `{self.name}` {because} before it answered")
                waiting.answer.set_exception(error)


class _Token(msgspec.Struct):
    progressToken: int | str | None = None


def _token_of(params: Raw) -> int | None:
    """The number of the request that progress is told of."""
    if b'"progressToken"' not in bytes(params):
        return None
    with contextlib.suppress(msgspec.DecodeError):
        token = msgspec.json.decode(params, type=_Token).progressToken
        if isinstance(token, int):
            return token
    return None


def _with_token(params: Raw, token: Raw | bytes) -> bytes:
    members: dict[str, Raw | bytes] = dict(msgspec.json.decode(params, type=dict[str, Raw]))
    return joined(members | {_PROGRESS: bytes(token)})
