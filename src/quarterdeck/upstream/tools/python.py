"""Python tools: functions of the fleet folder, carried out in processes that hold no keys.

INVARIANT: fleet code never runs in this process; it is compiled and run in `child.py` only.
INVARIANT: no line leaves after the clearance ran out, however long the wait for a process was.
Deliberately absent: epochs (the caller asks about those) and retries (the checkpoint knows what
may be repeated).
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson

from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.domain.errors import Invalid, Unavailable
from quarterdeck.domain.limits import (
    TOOL_GRACE_SECONDS,
    TOOL_IDLE_SECONDS,
    TOOL_PROCESSES_MAX,
)
from quarterdeck.domain.tools import PythonBackend, Tool
from quarterdeck.sources import Clock
from quarterdeck.upstream.tools.receipts import done, failed, not_attempted
from quarterdeck.upstream.tools.supervisor import Child, Launch


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the child: one of the three."""

    ready: bool = False
    result: msgspec.Raw = msgspec.Raw()
    error: str | None = None
    at: str = ""

    def problem(self) -> str:
        """The error with the place in the tool's file, for those who can read that file."""
        return f"{self.error} (at {self.at})" if self.at else f"{self.error}"


@dataclass(slots=True, kw_only=True)
class _Pool:
    """The processes of one tool at one digest; `calls` counts those under way or waiting."""

    tool: Tool
    launch: Launch
    slots: asyncio.Semaphore
    calls: int = 0
    children: set[Child] = field(default_factory=set)
    idle: list[Child] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, kw_only=True)
class PythonTools:
    """Calls tools; starts their processes at first use, keeps a few, ends them when idle.

    Each tool gets a folder of its own in `folder`. Nothing else in the folder above, nor in
    `private`, can be opened by a tool where the kernel has Landlock.
    """

    folder: Path
    clock: Clock
    python: str = sys.executable
    private: tuple[Path, ...] = ()
    idle_seconds: float = TOOL_IDLE_SECONDS
    _pools: dict[str, _Pool] = field(default_factory=dict)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)
    _is_closed: bool = False

    async def call(self, cleared: Cleared) -> Receipt:
        """Call the function once. `TimeoutError` means that it may or may not have happened."""
        tool = cleared.contract
        assert isinstance(tool, Tool), "a vendor is no tool"
        pool = self._pool(tool)
        pool.calls += 1
        try:
            line = _request(cleared.action.arguments)
            async with self._child(pool, cleared.not_after) as child:
                answer = await _asked(child, line, tool.timeout_seconds)
                return _receipt(pool, answer, child)
        except (Invalid, Unavailable) as error:
            return not_attempted(error)
        finally:
            pool.calls -= 1

    async def close(self) -> None:
        """End every process and wait for it; calls under way are in doubt, later ones not begun."""
        self._is_closed = True
        pools = list(self._pools.values())
        for pool in pools:
            if pool.timer is not None:
                pool.timer.cancel()
            for child in pool.children:
                is_idle = child in pool.idle
                self._soon(self._end(pool, child, TOOL_GRACE_SECONDS if is_idle else 0))
            pool.idle.clear()
        for pool in pools:
            for _ in range(TOOL_PROCESSES_MAX):  # whoever holds one is still cleaning up
                await pool.slots.acquire()
            for _ in range(TOOL_PROCESSES_MAX):
                pool.slots.release()
        while self._ending:
            await asyncio.wait(self._ending)
        self._pools.clear()

    def _pool(self, tool: Tool) -> _Pool:
        found = self._pools.get(tool.digest)
        if found is not None:
            return found
        backend = tool.backend
        assert isinstance(backend, PythonBackend), "only tools with a function come here"
        folder = self.folder.resolve()
        launch = Launch(
            python=self.python,
            folder=folder / tool.name,
            source=backend.source,
            file=backend.file,
            function=backend.function,
            private=(str(folder.parent), *(str(path.resolve()) for path in self.private)),
        )
        pool = self._pools[tool.digest] = _Pool(
            tool=tool,
            launch=launch,
            slots=asyncio.Semaphore(TOOL_PROCESSES_MAX),
        )
        return pool

    @asynccontextmanager
    async def _child(self, pool: _Pool, not_after: int) -> AsyncIterator[Child]:
        """A process for one call; afterwards it is kept, or ended if it cannot be used again."""
        await self._slot(pool, not_after)
        try:
            child = self._idle(pool) or await self._started(pool)
            try:
                if self._is_closed:
                    raise _closing()
                if self.clock.micros() > not_after:
                    raise _too_late()
                yield child
            finally:
                await self._give_back(pool, child)
        finally:
            pool.slots.release()

    async def _slot(self, pool: _Pool, not_after: int) -> None:
        if not pool.slots.locked():
            await pool.slots.acquire()
            return
        try:
            async with asyncio.timeout((not_after - self.clock.micros()) / 1_000_000):
                await pool.slots.acquire()
        except TimeoutError as error:
            raise _too_late() from error

    def _idle(self, pool: _Pool) -> Child | None:
        """The process used last, so that those not needed grow old."""
        while pool.idle:
            child = pool.idle.pop()
            if child.is_usable:
                return child
            self._soon(self._end(pool, child, 0))
        return None

    async def _started(self, pool: _Pool) -> Child:
        if self._is_closed:
            raise _closing()
        _make(self.folder)
        _make(pool.launch.folder)
        child = Child()
        pool.children.add(child)
        is_ready = False
        try:
            answer = _parsed(await child.start(pool.launch))
            if answer.error is not None:
                problem = f"the tool's file could not be loaded: {answer.problem()}"
                raise Unavailable(
                    child.with_last_words(problem),
                    hint=f"correct `{pool.launch.file}`",
                )
            is_ready = True
            return child
        finally:
            if not is_ready:
                await asyncio.shield(self._soon(self._end(pool, child, 0)))

    async def _give_back(self, pool: _Pool, child: Child) -> None:
        if self._is_closed or not child.is_usable:
            await asyncio.shield(self._soon(self._end(pool, child, 0)))
            return
        child.idle_since = self.clock.monotonic()
        pool.idle.append(child)
        if pool.timer is None:
            self._look_again(pool, self.idle_seconds)

    def _look_again(self, pool: _Pool, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        pool.timer = loop.call_later(seconds, self._sweep, pool)

    def _sweep(self, pool: _Pool) -> None:
        """End what has been idle too long, and forget a tool that nobody calls any more."""
        pool.timer = None
        kept_since = self.clock.monotonic() - self.idle_seconds
        for child in [c for c in pool.idle if c.idle_since <= kept_since or not c.is_usable]:
            pool.idle.remove(child)
            self._soon(self._end(pool, child, TOOL_GRACE_SECONDS))
        if pool.idle:
            oldest = min(child.idle_since for child in pool.idle)
            self._look_again(pool, oldest - kept_since)
        elif not pool.calls:
            self._pools.pop(pool.tool.digest, None)

    async def _end(self, pool: _Pool, child: Child, grace_seconds: float) -> None:
        await child.end(grace_seconds=grace_seconds)
        pool.children.discard(child)

    def _soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run to its end, whoever stops waiting for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task


def _make(folder: Path) -> None:
    """A folder for this user alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise Unavailable(
            f"the tool's folder `{folder.name}` could not be made: {error.strerror}",
            hint="check the data folder and the room left on its disk",
        ) from error


def _request(arguments: bytes) -> bytes:
    """One line that holds the arguments exactly as they were cleared.

    They are not written anew: a number of many digits would come out as another number. Line
    breaks can stand only between the tokens of valid JSON, so spaces do as well.
    """
    try:
        is_object = isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise Invalid("the arguments are not a JSON object", hint="send an object")
    return b'{"arguments":%b}\n' % arguments.replace(b"\n", b" ")


async def _asked(child: Child, line: bytes, seconds: float) -> _Answer:
    answer = await child.ask(line, seconds=seconds)
    try:
        return _parsed(answer)
    except Unavailable as error:
        child.kill()
        raise TimeoutError("the tool's process answered what nobody can read") from error


def _parsed(line: bytes) -> _Answer:
    try:
        return msgspec.json.decode(line, type=_Answer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unavailable("the tool's process answered what nobody can read") from error


def _receipt(pool: _Pool, answer: _Answer, child: Child) -> Receipt:
    if answer.error is not None:
        # Only the note holds what it printed.
        return failed(pool.tool, answer.error, noted=child.with_last_words(answer.problem()))
    return done(pool.tool, bytes(answer.result))


def _closing() -> Unavailable:
    return Unavailable("the server is stopping", hint="try again")


def _too_late() -> Unavailable:
    return Unavailable(
        "no process of the tool was free before the clearance ran out",
        hint="propose the action again, less often or with a faster tool",
    )
