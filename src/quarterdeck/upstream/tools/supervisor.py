"""One child process of one tool: started clean, asked one call at a time, ended with its group.

INVARIANT: `Unavailable` means that the function provably never began; anything lost after the
request was fully written is a `TimeoutError`, because nobody knows whether it took place.
Deliberately absent: what a call means. Lines go out, lines come back; what a line says cannot be
trusted, since fleet code in the same process could have written it.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import orjson

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    ERROR_CHARACTERS_MAX,
    JSON_DEPTH_MAX,
    TOOL_END_SECONDS_MAX,
    TOOL_ENVELOPE_BYTES_MAX,
    TOOL_FILE_BYTES_MAX,
    TOOL_GRACE_SECONDS,
    TOOL_MEMORY_BYTES_MAX,
    TOOL_OPEN_FILES_MAX,
    TOOL_RESULT_BYTES_MAX,
    TOOL_START_SECONDS_MAX,
    TOOL_STDERR_BYTES_KEPT,
)

PROGRAM: Final = str(Path(__file__).with_name("child.py"))
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMITS: Final = {
    "RLIMIT_CORE": 0,
    "RLIMIT_AS": TOOL_MEMORY_BYTES_MAX,
    "RLIMIT_NOFILE": TOOL_OPEN_FILES_MAX,
    "RLIMIT_FSIZE": TOOL_FILE_BYTES_MAX,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """All that a process is given: an interpreter, a folder, a function, what it must not see."""

    python: str
    folder: Path
    source: str
    file: str
    function: str
    private: tuple[str, ...]

    def command(self) -> tuple[str, ...]:
        """The command line. `-I`: no variables, no user packages, no modules beside the file."""
        return (self.python, "-I", PROGRAM)

    def environment(self) -> dict[str, str]:
        """All the variables there are."""
        return {"PATH": PATH, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": str(self.folder)}

    def setup(self) -> bytes:
        """The first line the process reads."""
        setup = {
            "parent": os.getpid(),
            "limits": LIMITS,
            "private": self.private,
            "result_bytes_max": TOOL_RESULT_BYTES_MAX,
            "depth_max": JSON_DEPTH_MAX,
            "source": self.source,
            "file": self.file,
            "function": self.function,
        }
        return orjson.dumps(setup) + b"\n"


class Child(asyncio.SubprocessProtocol):
    """A process that holds one function."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self._answer: asyncio.Future[bytes] | None = None
        self._received = bytearray()
        self._stderr = bytearray()
        self._unsent = False
        self._over = False
        self._leaving = False
        self._transport: asyncio.SubprocessTransport | None = None
        self._exited: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()

    async def start(self, launch: Launch) -> bytes:
        """Start the process and hand it its function; the line it answers when it has loaded it."""
        spawning = asyncio.ensure_future(self._spawn(launch))
        try:
            await asyncio.shield(spawning)
        except asyncio.CancelledError:
            await asyncio.wait((spawning,))  # milliseconds; half a start cannot be cleaned up
            spawning.exception()
            raise
        try:
            return await self.ask(launch.setup(), seconds=TOOL_START_SECONDS_MAX)
        except TimeoutError as error:
            await asyncio.wait((self._closed,), timeout=TOOL_GRACE_SECONDS)  # for its last words
            raise Unavailable(
                self.with_last_words("the tool's process did not get ready"),
                hint="run the tool's file by itself to see what its own lines do",
            ) from error

    async def ask(self, line: bytes, *, seconds: float) -> bytes:
        """Send one line and wait for one line; a process that fails in this is never used again."""
        if self._over:
            raise _never_asked()
        self._stderr.clear()
        self._answer = asyncio.get_running_loop().create_future()
        answered = False
        try:
            self._stdin.write(line)
            if self._stdin.is_closing():
                raise _never_asked()
            async with asyncio.timeout(seconds):
                answer = await self._answer
            answered = True
            return answer
        except TimeoutError as error:
            if self._unsent:
                raise _never_asked() from error
            if self._over:
                raise
            raise TimeoutError(f"the tool did not answer within {seconds:g} seconds") from error
        finally:
            self._answer = None
            if not answered:
                self.kill()

    async def end(self, *, grace_seconds: float = 0) -> None:
        """End the process and its group, and wait until nothing of them is left."""
        if grace_seconds and not self._over:
            self._over = self._leaving = True
            self._stdin.close()
            await asyncio.wait((self._exited,), timeout=grace_seconds)
        self.kill()
        await asyncio.wait((self._exited,), timeout=TOOL_END_SECONDS_MAX)
        if self._transport is not None and not self._closed.done():
            # Somebody who left the group may still hold a pipe; its end is not waited for.
            self._transport.close()
            await asyncio.wait((self._closed,), timeout=TOOL_END_SECONDS_MAX)

    def kill(self) -> None:
        """Kill whoever is in the process group, now."""
        self._over = True
        if not self._exited.done():
            self._kill_group()  # while it starts there is none yet: `connection_made` looks again

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked again."""
        return not self._over

    def with_last_words(self, message: str) -> str:
        """The message, and as much as fits of the end of what was printed since the last line."""
        printed = self._stderr.decode("utf-8", "replace").strip()
        lead = f"{message[:ERROR_CHARACTERS_MAX]}; it printed: "
        room = ERROR_CHARACTERS_MAX - len(lead)
        if not printed or room <= 0:
            return message[:ERROR_CHARACTERS_MAX]
        return lead + printed[-room:]

    async def _spawn(self, launch: Launch) -> None:
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: self,
                *launch.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=str(launch.folder),
                env=launch.environment(),
                start_new_session=True,
            )
        except OSError as error:
            self._over = True
            self._exited.set_result(None)
            self._closed.set_result(None)
            raise Unavailable(
                f"the tool's process could not be started: {error.strerror}",
                hint="look at the machine's memory and limits on processes and open files",
            ) from error

    def _kill_group(self) -> None:
        if self._transport is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def _fail(self) -> None:
        self._over = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(TimeoutError("the tool's process ended before it answered"))

    # What the event loop reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process runs."""
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        # So that `pause_writing` says at once that a part of the line is still here.
        self._stdin.set_write_buffer_limits(high=0)
        if self._over:
            self._kill_group()

    def pause_writing(self) -> None:
        """A part of the line did not fit into the pipe yet."""
        self._unsent = True

    def resume_writing(self) -> None:
        """All of it has left."""
        self._unsent = False

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Something was printed, or answered."""
        if fd == 2:
            self._stderr += data
            del self._stderr[:-TOOL_STDERR_BYTES_KEPT]
            return
        self._received += data
        too_long = len(self._received) > TOOL_RESULT_BYTES_MAX + TOOL_ENVELOPE_BYTES_MAX
        ends = data.find(b"\n") + 1
        unasked = self._answer is None or self._answer.done()
        if unasked or too_long or 0 < ends < len(data):
            # Only fleet code that writes to the pipe by itself gets here.
            self.kill()
            self._fail()
        elif ends:
            line, self._received = bytes(self._received), bytearray()
            assert self._answer is not None
            self._answer.set_result(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Nothing more will be answered. All that was answered before has been received."""
        if fd == 1:
            self._fail()
            if not self._leaving:
                self.kill()

    def process_exited(self) -> None:
        """The process ended; end what it started. A group's number is kept while it has members."""
        self._over = True
        self._kill_group()
        self._exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Process and pipes are gone."""
        if self._transport is not None:
            self._transport.close()
        self._closed.set_result(None)


def _never_asked() -> Unavailable:
    return Unavailable("the tool's process ended before it was asked", hint="try again")
