"""Receipts that could not be committed, sealed and fsynced beside the data until they can.

An effect that took place is never forgotten because the database was away or its disk was full:
admission stops in time, and what was already cleared is settled from here. Where not even a file
can be written, the receipt waits in memory: better than nowhere, and its process lives on.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from quarterdeck.checkpoint.settlement import Settlement
from quarterdeck.keys import SealingKey

_log = structlog.get_logger("spool")


@dataclass(frozen=True, slots=True)
class Spool:
    """A folder of sealed settlements, one file each, and those its disk had no room for."""

    folder: Path
    key: SealingKey
    _unwritten: dict[str, Settlement] = field(default_factory=dict, repr=False)

    def put(self, settlement: Settlement) -> None:
        """Keep a settlement: on disk when this returns, if the disk takes it."""
        name = settlement.action.id
        try:
            self._write(name, settlement)
        except OSError as error:
            self._unwritten[name] = settlement
            _log.error("receipt_only_in_memory", action=name, error=error.strerror)

    def _write(self, name: str, settlement: Settlement) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.folder / f"{name}.part"
        with part.open("wb") as file:
            file.write(self.key.seal(name, msgspec.msgpack.encode(settlement)))
            file.flush()
            os.fsync(file.fileno())
        part.rename(self.folder / name)
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def list_names(self) -> list[str]:
        """Actions whose settlement waits here."""
        names = set(self._unwritten)
        if self.folder.is_dir():
            names |= {e.name for e in self.folder.iterdir() if e.suffix != ".part"}
        return sorted(names)

    def find(self, name: str) -> Settlement | None:
        """A settlement that waits; none if another process on this folder took it meanwhile."""
        unwritten = self._unwritten.get(name)
        if unwritten is not None:
            return unwritten
        try:
            sealed = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.msgpack.decode(self.key.open(name, sealed), type=Settlement)

    def remove(self, name: str) -> None:
        """It was committed."""
        self._unwritten.pop(name, None)
        (self.folder / name).unlink(missing_ok=True)
