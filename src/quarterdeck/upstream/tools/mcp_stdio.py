"""One MCP server behind a command: a process that lives on, asked many things at once.

INVARIANT: `Unavailable` means that nothing was asked; what was written and not answered is a
`TimeoutError`. A process that dies is started again at the next use, later each time it fails.
INVARIANT: a process works on no new request once other values than those it was started with are
shown; what it works on then it ends.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

import msgspec

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    SERVER_BACKOFF_SECONDS,
    SERVER_BACKOFF_SECONDS_MAX,
    SERVER_OPEN_SECONDS_MAX,
)
from quarterdeck.domain.mcp.asks import OnSaid
from quarterdeck.domain.mcp.exchanges import (
    Answered,
    Discovered,
    Unreadable,
    Wanted,
    discovered,
    initialized,
    notice,
)
from quarterdeck.domain.mcp.versions import HANDSHAKE, STATELESS, era_of
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.tools.mcp_opening import hello
from quarterdeck.upstream.tools.mcp_process import CommandProcess, Home
from quarterdeck.upstream.tools.mcp_running import RunningCommand

#: A server of the handshake era may not know the first question and say nothing to it.
DISCOVER_SECONDS_MAX: Final = 5


class Resting(Unavailable):
    """It is not started again yet: nobody has found out anything new about it."""


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
        self._running: RunningCommand | None = None
        self._starting: asyncio.Task[RunningCommand] | None = None
        #: Processes with values that were replaced, while they end what they work on. A rotation is
        #: seen twice a minute at most, and none of them lives for longer than a call may take.
        self._leaving: dict[asyncio.Task[None], RunningCommand] = {}
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
                running = await self._current(variables)
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
        for task, leaving in list(self._leaving.items()):
            task.cancel()
            await asyncio.wait((task,))
            await leaving.end()
        if self._running is not None:
            await self._running.end()
            self._running = None

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._running is not None and not self._running.is_over

    async def _current(self, variables: Mapping[str, str]) -> RunningCommand:
        """The process that shows these values.

        Whoever waited for one that others had started meanwhile, before they knew of a new value,
        starts it anew; once, because two who know different values could do so for ever.
        """
        running = await self._run(variables)
        if running.is_over or running.shown != _hash_of(variables):
            running = await self._run(variables)
        return running

    async def _run(self, variables: Mapping[str, str]) -> RunningCommand:
        found = self._running
        if found is not None and not found.is_over:
            if found.shown == _hash_of(variables):
                return found
            self._let_go(found)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(variables))
            self._starting.add_done_callback(self._started)
        return await asyncio.shield(self._starting)

    async def _start(self, variables: Mapping[str, str]) -> RunningCommand:
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
        running = RunningCommand(
            process,
            self.server.name,
            self._numbers,
            shown=_hash_of(variables),
            changed=self._changed,
        )
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

    def _let_go(self, running: RunningCommand) -> None:
        """Ask it nothing more; what it works on it may end.

        The next one runs the same command: what it offers is looked at in its turn.
        """
        self._running = None
        task = asyncio.create_task(running.leave())
        self._leaving[task] = running
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.pop(task, None)
        if not task.cancelled():
            task.exception()

    async def _meet(self, running: RunningCommand) -> Discovered:
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

    def _started(self, task: asyncio.Task[RunningCommand]) -> None:
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


def _hash_of(variables: Mapping[str, str]) -> bytes:
    """What tells values apart without keeping them."""
    return hashlib.sha256(msgspec.json.encode(sorted(variables.items()))).digest()
