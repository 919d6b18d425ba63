"""One process behind a server's command: started clean, spoken to in lines, ended with its group.

It gets no variables but those of its entry, runs only files that were applied, and is fenced from
this server's files and memory as tools are (`child.py`); the network and other files are its own
affair. What it prints besides messages is kept for people, a little of it.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    ERROR_CHARACTERS_MAX,
    SERVER_ANSWER_BYTES_MAX,
    SERVER_OPEN_FILES_MAX,
    SERVER_STDERR_BYTES_KEPT,
    TOOL_END_SECONDS_MAX,
    TOOL_GRACE_SECONDS,
)
from quarterdeck.domain.mcp.exchanges import Unreadable
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.tools.mcp_stream import Pace, too_large
from quarterdeck.upstream.tools.supervisor import PATH, PROGRAM

_FILES: Final = "servers/"
_READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where commands run: their applied files, and what they must not see."""

    folder: Path
    private: tuple[Path, ...] = ()
    python: str = sys.executable

    def laid_out(self, server: Server) -> Path:
        """A folder with the files of a server as they were applied, and nothing else.

        Its name is the hash of what is in it, so that files of another revision are elsewhere.
        """
        hashed = hashlib.sha256(server.name.encode())
        for path in sorted(server.files):
            hashed.update(b"\0" + path.encode() + b"\0" + server.files[path])
        place = self.folder.resolve() / f"{server.name}-{hashed.hexdigest()[:16]}"
        try:
            _make(self.folder)
            _make(place)
            for path, content in server.files.items():
                _write(place / path.removeprefix(_FILES), content, inside=place)
        except OSError as error:
            raise Unavailable(
                f"the files of server `{server.name}` could not be laid out: {error.strerror}",
                hint="check the data folder and the room left on its disk",
            ) from error
        return place

    def command(self, server: Server, place: Path) -> list[str]:
        """The command line: the launcher, what it must keep back, and the entry's own command."""
        command = [
            str(place / part.removeprefix(_FILES)) if part in server.files else part
            for part in server.command
        ]
        private = [str(self.folder.resolve().parent), *(str(p.resolve()) for p in self.private)]
        setup = {
            "parent": os.getpid(),
            "limits": {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": SERVER_OPEN_FILES_MAX},
            "private": private,
        }
        return [self.python, "-I", PROGRAM, json.dumps(setup), *command]


@dataclass(slots=True)
class CommandProcess:
    """A running command."""

    process: asyncio.subprocess.Process
    _printed: bytearray = field(default_factory=bytearray)
    _listening: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, home: Home, server: Server, variables: Mapping[str, str]
    ) -> "CommandProcess":
        """Start the command of a server."""
        place = await asyncio.to_thread(home.laid_out, server)
        clean = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(place), "TMPDIR": str(place)}
        try:
            process = await asyncio.create_subprocess_exec(
                *home.command(server, place),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=str(place),
                env={**clean, **variables},
                start_new_session=True,
                limit=_READ_BYTES,
            )
        except OSError as error:
            raise Unavailable(
                f"server `{server.name}` could not be started: {error.strerror}",
                hint="look at the machine's memory and limits on processes and open files",
            ) from error
        made = cls(process)
        made._listening = asyncio.create_task(made._listen())
        return made

    async def send(self, line: bytes) -> None:
        """Write one line. What was written may have been read, whatever happens then."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.replace(b"\n", b" ") + b"\n")
        await self.process.stdin.drain()

    async def lines(self) -> AsyncIterator[bytes]:
        """What it says, line by line, until it ends. Raises Unreadable for a line without end."""
        assert self.process.stdout is not None
        pace, held = Pace(), bytearray()
        while chunk := await self.process.stdout.read(_READ_BYTES):
            held += chunk
            if b"\n" not in chunk:
                if len(held) > SERVER_ANSWER_BYTES_MAX:
                    raise too_large()
                continue
            *whole, rest = bytes(held).split(b"\n")
            held = bytearray(rest)
            for line in whole:
                await pace.step()
                if line.strip():
                    yield line
        if held.strip():
            raise Unreadable("it ended in the middle of a message")

    async def end(self, *, is_urgent: bool = False) -> None:
        """End it and its group: with a moment to leave by itself, unless there is no time."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if not is_urgent and self.process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TOOL_GRACE_SECONDS):
                    await self.process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOOL_END_SECONDS_MAX):
                await self.process.wait()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait((self._listening,))
        # Somebody who left the group may still hold a pipe, and what was said and not read yet
        # keeps it open; there is no public way to close them.
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)

    @property
    def last_words(self) -> str:
        """The end of what it printed."""
        return self._printed.decode("utf-8", "replace").strip()[-ERROR_CHARACTERS_MAX:]

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        pace = Pace()
        while chunk := await self.process.stderr.read(_READ_BYTES):
            self._printed += chunk
            del self._printed[:-SERVER_STDERR_BYTES_KEPT]
            await pace.step()


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def _write(path: Path, content: bytes, *, inside: Path) -> None:
    """A file as it was applied; one that somebody has changed meanwhile is written anew."""
    for folder in reversed([p for p in path.parents if inside in p.parents]):
        _make(folder)
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return
    making = path.with_name(f".{path.name}.{os.getpid()}")
    making.unlink(missing_ok=True)
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o700)
    with os.fdopen(descriptor, "wb") as writing:
        writing.write(content)
    making.replace(path)
