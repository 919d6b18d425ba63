"""Copies of a SQLite database file, what one holds, and what a restore changes inside.

A copy is taken while the server works: it is the database as it stood at one moment. PostgreSQL has
tools of its own for this; only `start_anew` is for both.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quarterdeck.domain.errors import Conflict, Corrupt, Unavailable
from quarterdeck.store import standing
from quarterdeck.store.database import Transaction

_BESIDE: Final = ("-wal", "-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a database file holds, in short."""

    schema: int
    incarnation: str
    fleet_version: str | None
    actions: int
    leaves: int
    head: str | None
    head_size: int


def copy(source: Path, target: Path) -> None:
    """Copy a database that may be in use to a new file, checked and on disk when this returns."""
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise Conflict(f"`{target}` is there already", hint="name a file that is not") from error
    except OSError as error:
        raise Unavailable(
            f"`{target}` cannot be written: {error.strerror}",
            hint="check that its folder exists and is writable",
        ) from error
    try:
        with _explained(target), closing(sqlite3.connect(target)) as made:
            with closing(sqlite3.connect(source)) as read:
                read.backup(made)
            made.execute("pragma journal_mode=delete")  # one file, complete in itself
            found = made.execute("pragma quick_check").fetchone()[0]
            if found != "ok":
                raise Corrupt(f"the copy is damaged: {found}", hint="see `quarterdeck doctor`")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    sync(target)


def held(path: Path) -> Held:
    """What a copy holds. Nobody else may be using the file."""
    with (
        _explained(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as made,
    ):
        made.row_factory = sqlite3.Row
        now = made.execute("select incarnation, fleet_version from standing").fetchone()
        head = made.execute("select size, note from heads order by size desc limit 1").fetchone()
        return Held(
            schema=made.execute("pragma user_version").fetchone()[0],
            incarnation=now["incarnation"],
            fleet_version=now["fleet_version"],
            actions=made.execute("select count(*) from actions").fetchone()[0],
            leaves=made.execute("select count(*) from leaves").fetchone()[0],
            head=None if head is None else head["note"],
            head_size=0 if head is None else head["size"],
        )


def close_file(path: Path) -> None:
    """Make a database one complete file again; raises Conflict while anybody has it open.

    A damaged file stays as it is: that is what a restore is for.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as only:
            only.execute("pragma locking_mode=exclusive")
            only.execute("begin exclusive")
            only.execute("commit")
            only.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.OperationalError as error:
        raise Conflict(
            f"the database `{path}` is in use: {error}",
            hint="stop the server that holds the data folder, then restore",
        ) from error
    except sqlite3.DatabaseError:
        return


def put_in_place(made: Path, database: Path, kept: Path) -> None:
    """Put a new file where a database was, and keep the old one beside it under another name.

    The old file gets its second name first and is then replaced at once: there is no moment
    without a database, in which a starting server would make an empty one.
    """
    if database.exists():
        os.link(database, kept)
    for suffix in _BESIDE:
        if (beside := Path(f"{database}{suffix}")).exists():
            beside.rename(f"{kept}{suffix}")
    made.replace(database)
    sync(database.parent)


def remove(path: Path) -> None:
    """Remove a database file and what SQLite keeps beside it."""
    for suffix in ("", *_BESIDE):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have a file or folder on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def start_anew(tx: Transaction, incarnation: str) -> list[str]:
    """Begin a new incarnation: credentials and clearances are void, leases over.

    Returns the actions that were begun: nobody knows any more whether they took place.
    """
    standing.new_incarnation(tx, incarnation)
    tx.execute("update processes set lease_until = 0")
    begun = [
        row["id"] for row in tx.rows("select id from actions where state = 'begun' order by id")
    ]
    tx.execute("update actions set state = 'in_doubt' where state = 'begun'")
    return begun


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"`{path}` cannot be read or written: {error}",
            hint="check that its folder exists, is writable and has free space",
        ) from error
    except sqlite3.DatabaseError as error:
        raise Corrupt(f"`{path}` is damaged: {error}", hint="use another backup") from error
