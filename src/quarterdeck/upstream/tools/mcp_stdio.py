"""One MCP server behind a command: a process that lives on, asked many things at once.

INVARIANT: `Unavailable` means that nothing was asked; what was written and not answered is a
`TimeoutError`. A process that dies is started again at the next use, later each time it fails.
On these pipes nothing says to which request a server's own question belongs: one that comes while
several are under way that could answer it is refused.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

import msgspec
from msgspec import Raw

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    SERVER_BACKOFF_SECONDS,
    SERVER_BACKOFF_SECONDS_MAX,
    SERVER_OPEN_SECONDS_MAX,
)
from quarterdeck.domain.mcp.asks import OnSaid, Reply, Said
from quarterdeck.domain.mcp.exchanges import (
    REFUSED,
    Answered,
    Discovered,
    Heard,
    Unreadable,
    Wanted,
    discovered,
    initialized,
    notice,
    reply_to,
    written,
)
from quarterdeck.domain.mcp.messages import joined
from quarterdeck.domain.mcp.versions import HANDSHAKE, STATELESS, era_of
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.tools.mcp_opening import hello
from quarterdeck.upstream.tools.mcp_process import CommandProcess, Home
from quarterdeck.upstream.tools.mcp_stream import read

#: A server of the handshake era may not know the first question and say nothing to it.
DISCOVER_SECONDS_MAX: Final = 5
_PONG: Final = Reply(result=b"{}")
_CANCELLED: Final = b'{"requestId":%d,"reason":"nobody waits for the answer any more"}'
_PROGRESS: Final = "progressToken"
LIST_CHANGED: Final = "notifications/tools/list_changed"


@dataclass(slots=True)
class _Open:
    """One request that waits for its answer."""

    wanted: Wanted
    on_said: OnSaid | None
    answer: "asyncio.Future[Answered]"
    hearing: asyncio.Task[None] | None = None
    said: "asyncio.Queue[tuple[Heard, bytes]] | None" = None


class Resting(Unavailable):
    """It is not started again yet: nobody has found out anything new about it."""


class _Running:
    """A process that was met, and the requests it works on."""

    def __init__(
        self,
        process: CommandProcess,
        name: str,
        numbers: "count[int]",
        changed: Callable[[], None],
    ) -> None:
        self.process = process
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
            if waiting.hearing is not None:
                waiting.hearing.cancel()
            if not waiting.answer.done() or waiting.answer.cancelled():
                await self._tell(notice("notifications/cancelled", _CANCELLED % number))

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


class StdioPeer:
    """Asks one server behind a command."""

    def __init__(
        self,
        server: Server,
        *,
        home: Home,
        capabilities: bytes,
        known: dict[str, str],
        monotonic: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        assert server.command, "a server at a URL is another peer"
        self.server = server
        self._home = home
        self._capabilities = capabilities
        self._known = known
        self._monotonic = monotonic
        self._changed = changed
        self._numbers = count(1)
        self._running: _Running | None = None
        self._starting: asyncio.Task[_Running] | None = None
        self._failures = 0
        self._not_before = 0.0
        #: Why it could not be used last, in its own last words.
        self.problem = ""

    async def open(self, variables: Mapping[str, str]) -> Discovered:
        """What the server says of itself; started if it does not run."""
        said = (await self._run(variables)).said
        assert said is not None
        return said

    async def ask(
        self, wanted: Wanted, variables: Mapping[str, str], on_said: OnSaid | None = None
    ) -> Answered:
        """One exchange."""
        is_asked = False
        try:
            async with asyncio.timeout(wanted.seconds):
                running = await self._run(variables)
                is_asked = True
                assert running.said is not None
                return await running.ask(wanted, running.said.version, on_said)
        except TimeoutError as error:
            if not is_asked:
                raise self._unavailable("it was not ready in time") from error
            if str(error):
                raise
            raise TimeoutError(f"server `{self.server.name}` did not answer in time") from error

    async def close(self) -> None:
        """End its process."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        if self._running is not None:
            await self._running.end()
            self._running = None

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._running is not None and not self._running.is_over

    async def _run(self, variables: Mapping[str, str]) -> _Running:
        if self._running is not None and not self._running.is_over:
            return self._running
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(variables))
            self._starting.add_done_callback(self._started)
        return await asyncio.shield(self._starting)

    async def _start(self, variables: Mapping[str, str]) -> _Running:
        is_again = self._running is not None
        if self._running is not None:
            dead, self._running = self._running, None
            await dead.end(is_urgent=True)
            self._note(dead.process.last_words or "it ended")
        wait = self._not_before - self._monotonic()
        if wait > 0:
            error = self._unavailable(f"{self.problem}; it is started again in {wait:.0f} seconds")
            raise Resting(error.message, hint=error.hint)
        process = await CommandProcess.start(self._home, self.server, variables)
        running = _Running(process, self.server.name, self._numbers, self._changed)
        is_met = False
        try:
            async with asyncio.timeout(SERVER_OPEN_SECONDS_MAX):
                running.said = await self._meet(running)
            is_met = True
        except (TimeoutError, Unreadable, Unavailable) as error:
            self._known.pop(self.server.name, None)  # it may be of another era by now
            await asyncio.sleep(0)  # for its last words
            self._note(process.last_words or str(error))
            raise self._unavailable(self.problem) from error
        finally:
            if not is_met:
                await running.end(is_urgent=True)
        self._failures = 0
        self.problem = ""
        self._running = running
        if is_again:
            self._changed()  # it may be another version by now
        return running

    async def _meet(self, running: _Running) -> Discovered:
        key = self.server.name
        if self._known.get(key) not in HANDSHAKE:
            wanted = Wanted(method="server/discover", capabilities=self._capabilities)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DISCOVER_SECONDS_MAX):
                    said = discovered(await running.ask(wanted, STATELESS, None))
                if said is not None:
                    self._known[key] = said.version
                    return said
        said = initialized(await running.ask(hello(self._capabilities), HANDSHAKE[0], None))
        if era_of(said.version) != "handshake":
            raise Unreadable(f"it speaks `{said.version[:40]}`, which is not spoken here")
        await running.process.send(notice("notifications/initialized"))
        self._known[key] = said.version
        return said

    def _started(self, task: asyncio.Task[_Running]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()

    def _note(self, problem: str) -> None:
        self.problem = problem
        wait = min(SERVER_BACKOFF_SECONDS * 2**self._failures, SERVER_BACKOFF_SECONDS_MAX)
        self._failures = min(self._failures + 1, 16)
        self._not_before = self._monotonic() + wait

    def _unavailable(self, because: str) -> Unavailable:
        return Unavailable(
            f"cannot use server `{self.server.name}`: {because}"[:400],
            hint="see `quarterdeck servers list`",
        )


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
