"""A small disk of a test's own, that can be filled up and emptied again."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

SIZE_BYTES: Final = 96 * 1024 * 1024  # more than what admission wants to keep free


class SmallDisk(Protocol):
    """Where a server's data folder is."""

    def fill(self, server: int) -> None:
        """From now on this server can write nothing more."""

    def empty(self, server: int) -> None:
        """Now it can again."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A file system in memory: full is full, for everybody."""

    folder: Path

    def fill(self, server: int) -> None:
        """Take all the room there is, against a server that goes on writing."""
        del server
        found = os.statvfs(self.folder)
        most = found.f_bavail * found.f_frsize - 1024 * 1024
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, most)
            file.seek(most)
            while True:
                file.write(bytes(4096))

    def empty(self, server: int) -> None:
        """Give it back."""
        del server
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@dataclass(frozen=True, slots=True)
class Forbidden:
    """No disk of its own: the kernel forbids the server to make any file longer."""

    def fill(self, server: int) -> None:
        """Forbid it."""
        resource.prlimit(server, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def empty(self, server: int) -> None:
        """Allow it again."""
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server, resource.RLIMIT_FSIZE, unlimited)


@contextmanager
def mounted(folder: Path, *, size_bytes: int = SIZE_BYTES) -> Iterator[Mounted | None]:
    """A small disk at this folder; nothing where the machine does not let us mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield Mounted(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
