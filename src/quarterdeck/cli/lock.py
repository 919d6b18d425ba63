"""One process holds a data folder: an operating-system lock, and a note that says who has it.

The lock dies with its process, so nothing has to be cleaned up after a kill. The note,
`server.json` (mode 0600), holds the server's address and local token; it counts only while the
lock is held, and whoever takes the lock removes the one before.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from quarterdeck.domain.errors import Conflict, Unavailable

LOCK_FILE: Final = "lock"
SERVER_FILE: Final = "server.json"
WAIT_SECONDS: Final = 10  # for another command, or a server that is starting or stopping
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server that holds a data folder."""

    url: str
    token: str = field(repr=False)
    pid: int


class Held(Conflict):
    """Another process has the data folder; `server` says which, if it is one to talk to."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        self.server = server
        if server is None:
            message = f"another process is using the data folder `{folder}`"
            hint = "wait until it has ended, or name another folder with --data"
        else:
            message = (
                f"the data folder `{folder}` is used by process {server.pid}, serving {server.url}"
            )
            hint = f"use that one, stop it with: kill {server.pid}, or name another with --data"
        super().__init__(message, hint=hint)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the data folder. A server that has it raises `Held` at once; a command is waited for."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"cannot use the data folder `{folder}`: {error.strerror}",
            hint="name one that you can write to with --data",
        ) from error
    try:
        _lock(descriptor, folder)
        withdraw(folder)
        try:
            yield
        finally:
            withdraw(folder)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    for _ in range(round(WAIT_SECONDS / POLL_SECONDS)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if (server := find_server(folder)) is not None:
                raise Held(folder, server) from error
        else:
            return
        time.sleep(POLL_SECONDS)
    raise Held(folder, None)


def announce(folder: Path, server: Server) -> None:
    """Say who serves this data folder; readable by its owner only, and never half written."""
    draft = folder / f".{SERVER_FILE}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(server), file)
    draft.replace(folder / SERVER_FILE)


def withdraw(folder: Path) -> None:
    """Remove the note."""
    with contextlib.suppress(FileNotFoundError):
        (folder / SERVER_FILE).unlink()


def find_server(folder: Path) -> Server | None:
    """The server that the note names, if there is one."""
    try:
        read = json.loads((folder / SERVER_FILE).read_text(encoding="utf-8"))
        return Server(url=str(read["url"]), token=str(read["token"]), pid=int(read["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
