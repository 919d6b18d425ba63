"""Backups: copy the database while it works, and restore a copy as an event that is on record.

A restore is never silent: it starts a new incarnation, so whatever was outstanding when the copy
was made is void or in doubt, and the ledger says who restored what. The file it replaces is kept.
The master key is in no backup: keep it apart, a copy cannot be opened without it.
"""

import asyncio
import os
import shlex
import shutil
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Final

import msgspec

from quarterdeck.domain.errors import Conflict, Corrupt, Invalid, Unavailable
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.keys import read_master
from quarterdeck.settings import Settings
from quarterdeck.sources import Clock, Dice, Ids, datetime_of
from quarterdeck.store import backups, ledger, migrations, standing
from quarterdeck.store.database import Database, Transaction
from quarterdeck.store.keys import Keyring
from quarterdeck.store.sqlite import SqliteDatabase

DATABASE: Final = "quarterdeck.db"
KIND: Final = "quarterdeck backup"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands beside a backup: which file it belongs to, and the ledger's head in it."""

    kind: str
    v: int
    file: str
    bytes: int
    sha256: str
    made_at: int
    schema: int
    incarnation: str
    fleet_version: str | None
    actions: int
    leaves: int
    head: str | None
    head_size: int
    public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A restore that took place."""

    incarnation: str
    in_doubt: tuple[str, ...]
    kept: Path | None
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """The use cases of backups."""

    db: Database
    settings: Settings
    clock: Clock
    dice: Dice

    async def backup(self, caller: Caller, path: Path) -> Manifest:
        """Copy the database to a new file with a manifest beside it; overwrites nothing."""
        authorise_whole(caller, "restore")
        if self.settings.database_url is not None:
            command = f"pg_dump --format=custom --file={shlex.quote(str(path))}"
            raise Invalid(
                "a PostgreSQL database is backed up with its own tools",
                hint=f'run: {command} "$QUARTERDECK_DATABASE_URL"',
            )
        beside = manifest_path(path)
        if not _is_there(path.parent) or not path.parent.is_dir():
            raise Invalid(f"`{path.parent}` is no folder", hint="make it, or name another")
        for file in (path, beside):
            if _is_there(file):
                raise Conflict(f"`{file}` is there already", hint="name a file that is not")
        signer = await self._keyring().ledger_signer()
        await self.db.write(lambda tx: self._record(tx, caller, path))
        await ledger.seal_visible(self.db, signer)
        return await asyncio.to_thread(self._copy, path, str(ledger.key_of(signer)))

    async def declare_restored(self, caller: Caller, *, ids: Ids) -> Restored:
        """After `pg_restore`, before any other process starts: begin a new incarnation."""
        authorise_whole(caller, "restore")
        return await _start_anew(self.db, self._keyring(), caller, ids=ids, facts={})

    def _keyring(self) -> Keyring:
        return Keyring(
            self.db, read_master(self.settings.master_key_file, self.dice), self.dice, {}
        )

    def _record(self, tx: Transaction, caller: Caller, path: Path) -> None:
        body = {"by": caller.id, "file": path.name}
        entry = Entry(kind="backed_up", subject=path.name, body=body)
        ledger.append(tx, entry, self.dice.bytes(NONCE_BYTES))

    def _copy(self, path: Path, public_key: str) -> Manifest:
        backups.copy(self.settings.folder / DATABASE, path)
        manifest = Manifest(
            kind=KIND,
            v=1,
            file=path.name,
            bytes=path.stat().st_size,
            sha256=_digest(path),
            made_at=self.clock.micros(),
            public_key=public_key,
            **asdict(backups.held(path)),
        )
        with manifest_path(path).open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        backups.sync(path.absolute().parent)
        return manifest


def manifest_path(path: Path) -> Path:
    """Where the manifest of a backup is."""
    return path.with_name(f"{path.name}.json")


def read_manifest(path: Path) -> Manifest:
    """The manifest of a backup whose file is the one it describes."""
    beside = manifest_path(path)
    try:
        manifest = msgspec.json.decode(beside.read_bytes(), type=Manifest)
    except OSError as error:
        raise Invalid(
            f"cannot read the manifest `{beside}`: {error.strerror}",
            hint="keep a backup and its manifest together: a copy without one may be incomplete",
        ) from error
    except msgspec.MsgspecError as error:
        raise Invalid(f"`{beside}` is not a manifest of a backup: {error}") from error
    if manifest.kind != KIND or manifest.v != 1 or manifest.schema > migrations.newest():
        raise Invalid(
            f"`{beside}` is of a newer version than this program",
            hint="restore it with the version of quarterdeck that made it",
        )
    try:
        found = _digest(path)
    except OSError as error:
        raise Invalid(f"cannot read the backup `{path}`: {error.strerror}") from error
    if found != manifest.sha256:
        raise Corrupt(f"`{path}` is not the file its manifest describes", hint="use another backup")
    return manifest


async def restore(
    caller: Caller, path: Path, settings: Settings, *, clock: Clock, dice: Dice, ids: Ids
) -> Restored:
    """Put a backup in the place of the data folder's database while no server holds it.

    Nothing is replaced before the copy is checked, opened with the master key, brought up to date
    and given its new incarnation. Where this dies before the end, the old database is in place.
    """
    authorise_whole(caller, "restore")
    if settings.database_url is not None:
        raise Invalid(
            "a PostgreSQL database is restored with its own tools",
            hint=f"stop every process, then run: pg_restore --clean --if-exists"
            f' --dbname="$QUARTERDECK_DATABASE_URL" {shlex.quote(str(path))},'
            " then: quarterdeck restore --declare",
        )
    manifest = await asyncio.to_thread(read_manifest, path)
    master = read_master(settings.master_key_file, dice)
    database = settings.folder / DATABASE
    made = settings.folder / f"{DATABASE}.restoring"
    if database.exists():
        await asyncio.to_thread(backups.close_file, database)
    try:
        await asyncio.to_thread(_prepare, path, made)
        db = SqliteDatabase(made, writer=ids.new("prc"), clock=clock)
        try:
            facts = {"file": path.name, "sha256": manifest.sha256, "made_at": manifest.made_at}
            keyring = Keyring(db, master, dice, {})
            restored = await _start_anew(db, keyring, caller, ids=ids, facts=facts)
        finally:
            await db.close()
        await asyncio.to_thread(backups.close_file, made)
    except BaseException:
        backups.remove(made)
        raise
    kept = _name_to_keep(database, clock) if database.exists() else None
    await asyncio.to_thread(backups.put_in_place, made, database, kept or database)
    return Restored(
        incarnation=restored.incarnation,
        in_doubt=restored.in_doubt,
        kept=kept,
        head=restored.head,
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise Invalid(
            f"`{path}` cannot be a file: {error.strerror}", hint="name another"
        ) from error


def _prepare(path: Path, made: Path) -> None:
    backups.remove(made)
    try:
        shutil.copyfile(path, made)
        made.chmod(0o600)
        backups.sync(made)
    except OSError as error:
        raise Unavailable(
            f"cannot copy the backup to `{made}`: {error.strerror}",
            hint="make room in the data folder: it holds the old and the new database",
        ) from error


def _name_to_keep(database: Path, clock: Clock) -> Path:
    stamp = datetime_of(clock.micros()).strftime("%Y%m%dT%H%M%S.%fZ")
    return database.with_name(f"{database.name}.before-restore-{stamp}")


async def _start_anew(
    db: Database, keyring: Keyring, caller: Caller, *, ids: Ids, facts: dict[str, object]
) -> Restored:
    """The new incarnation and the entry that says so, in one transaction; then a head over it."""
    signer = await keyring.ledger_signer()
    incarnation, nonce = ids.new("inc"), keyring.dice.bytes(NONCE_BYTES)

    def write(tx: Transaction) -> list[str]:
        before = standing.get(tx).incarnation
        in_doubt = backups.start_anew(tx, incarnation)
        body = {
            "by": caller.id,
            "incarnation": incarnation,
            "before": before,
            "in_doubt": in_doubt,
            **facts,
        }
        ledger.append(tx, Entry(kind="restored", subject=incarnation, body=body), nonce)
        return in_doubt

    in_doubt = await db.write(write)
    await ledger.seal_visible(db, signer)
    head = await db.read(ledger.find_head)
    assert head is not None, "there is a leaf, so there is a head"
    return Restored(incarnation=incarnation, in_doubt=tuple(in_doubt), kept=None, head=head["note"])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
