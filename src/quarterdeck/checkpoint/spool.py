"""Receipts that could not be committed, sealed and fsynced beside the data until they can.

An effect that took place is never forgotten because the database was away or its disk was full:
admission stops in time, and what was already cleared is settled from here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from quarterdeck.checkpoint.settlement import Settlement
from quarterdeck.keys import SealingKey


@dataclass(frozen=True, slots=True)
class Spool:
    """A folder of sealed settlements, one file each."""

    folder: Path
    key: SealingKey

    def put(self, settlement: Settlement) -> None:
        """Keep a settlement; on disk when this returns."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = settlement.action.id
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
        if not self.folder.is_dir():
            return []
        return sorted(e.name for e in self.folder.iterdir() if e.suffix != ".part")

    def get(self, name: str) -> Settlement:
        """A settlement that waits."""
        sealed = (self.folder / name).read_bytes()
        return msgspec.msgpack.decode(self.key.open(name, sealed), type=Settlement)

    def remove(self, name: str) -> None:
        """It was committed."""
        (self.folder / name).unlink(missing_ok=True)
