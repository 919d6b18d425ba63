"""Where a test's database is, of either kind, and a small desk of agents that works on it."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.recording import Recorder
from quarterdeck.checkpoint.spool import Spool
from quarterdeck.domain.actions import Cleared, Content, Outcome, Proposal, Receipt
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.people import Caller
from quarterdeck.keys import SealingKey, make_master
from quarterdeck.services.changes import Changes
from quarterdeck.services.ledger import LedgerReadings
from quarterdeck.services.runs import Runs, StartedRun
from quarterdeck.settings import Settings
from quarterdeck.sources import SystemClock, SystemDice, TimeSortedIds
from quarterdeck.store import ledger, standing
from quarterdeck.store.database import Database, Transaction
from quarterdeck.store.keys import Keyring
from quarterdeck.store.postgresql import PostgresqlDatabase, connect, translated
from quarterdeck.store.sqlite import SqliteDatabase
from quarterdeck.store.standing import Process
from tests.fleets import files

OWNER = Caller(id="local:test", role="owner")
DICE = SystemDice()


@dataclass
class Raw:
    """A connection of nobody's: for looking in from outside, and for tampering."""

    connection: Any
    dialect: str

    def run(self, sql: str, params: Mapping[str, Any] = {}) -> list[dict[str, Any]]:
        """Run a statement in a transaction of its own; its rows, if it has any."""
        if self.dialect == "postgresql":
            cursor = self.connection.execute(translated(sql), params)
        else:
            cursor = self.connection.execute(sql, params)
        return [dict(row) for row in cursor.fetchall()] if cursor.description else []


@dataclass
class Place:
    """A database that a test may open more than once."""

    dialect: str
    folder: Path
    url: str | None
    opened: list[Database] = field(default_factory=list)
    raws: list[Raw] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return self.folder / "quarterdeck.db"

    @property
    def settings(self) -> Settings:
        """The settings a process would open this database with."""
        return Settings(
            folder=self.folder, database_url=self.url, key_file=self.folder / "master.key"
        )

    def open(
        self, writer: str = "prc_1", *, url: str | None = None, pages_max: int | None = None
    ) -> Database:
        """Open it as one process; a writer's name is used once."""
        db: Database
        if self.url is None:
            clock = SystemClock()
            db = SqliteDatabase(self.path, writer=writer, clock=clock, pages_max=pages_max)
        else:
            db = PostgresqlDatabase(url or self.url, writer=writer, attempt=self._attempt)
        self.opened.append(db)
        return db

    def _attempt(self) -> str:
        return TimeSortedIds().new("att")

    def raw(self) -> Raw:
        """A connection beside those of the product."""
        connection: Any
        if self.url is None:
            connection = sqlite3.connect(self.path, isolation_level=None)
            connection.row_factory = sqlite3.Row
        else:
            connection = connect(self.url)
        self.raws.append(Raw(connection, self.dialect))
        return self.raws[-1]

    def master(self) -> SealingKey:
        """The master key, made at the first call."""
        path = self.folder / "master.key"
        return (
            make_master(path, DICE)
            if not path.exists()
            else SealingKey(bytes.fromhex(path.read_text()), DICE)
        )

    async def close(self) -> None:
        """Close whatever the test opened."""
        for raw in self.raws:
            raw.connection.close()
        for db in self.opened:
            await db.close()


def entry(subject: str, kind: str = "noted", **body: Any) -> Entry:
    """A ledger entry of the tests' own kind."""
    return Entry(kind=kind, subject=subject, body={"subject": subject, **body})


def noting(subject: str) -> Callable[[Transaction], int]:
    """A write that appends one leaf; returns its number."""

    def write(tx: Transaction) -> int:
        ledger.append(tx, entry(subject), DICE.bytes(NONCE_BYTES))
        return tx.chain.number

    return write


@dataclass
class Desk:
    """An agent at work: the real checkpoint over a test's database."""

    place: Place
    db: Database
    keyring: Keyring
    checkpoint: Checkpoint
    changes: Changes
    runs: Runs
    ledger: LedgerReadings
    started: list[StartedRun] = field(default_factory=list)

    @classmethod
    async def open(cls, place: Place, writer: str = "prc_1") -> "Desk":
        """A process on this database, the small fleet in force, one run under way."""
        db, clock, ids = place.open(writer), SystemClock(), TimeSortedIds()
        await db.write(lambda tx: standing.found(tx, "inc_1"))
        process = Process(id=writer, role="all", host="here", pid=1)
        await db.write(lambda tx: standing.renew_lease(tx, process))
        keyring, bindings = Keyring(db, place.master(), DICE, {}), Bindings(db)
        checkpoint = Checkpoint(
            db=db,
            bindings=bindings,
            recorder=Recorder(keyring),
            keyring=keyring,
            clock=clock,
            ids=ids,
            dice=DICE,
            process=writer,
            spool=Spool(place.folder / "spool", place.master()),
        )
        desk = cls(
            place=place,
            db=db,
            keyring=keyring,
            checkpoint=checkpoint,
            changes=Changes(db=db, bindings=bindings, clock=clock, dice=DICE),
            runs=Runs(db=db, bindings=bindings, keyring=keyring, clock=clock, ids=ids, dice=DICE),
            ledger=LedgerReadings(db=db, keyring=keyring, clock=clock, dice=DICE),
        )
        await desk.changes.apply(OWNER, files())
        await desk.start_run()
        return desk

    async def start_run(self) -> StartedRun:
        """One more run of the clerk."""
        run = await self.runs.start(OWNER, "clerk", {"text": "hi"}, kind="external")
        self.started.append(run)
        checkpoint = self.checkpoint
        checkpoint.watch.noticed = await self.db.read(standing.get)
        return run

    def proposal(self, target: str, n: int) -> Proposal:
        """A tool call of the newest run."""
        arguments = orjson.dumps({"n": n})
        return Proposal(
            credential=self.started[-1].credential,
            kind="tool",
            target=target,
            arguments=arguments,
            content=Content(rest=arguments),
        )

    async def act(self, target: str = "look_up", n: int = 1) -> Outcome:
        """One governed action from its proposal to its settlement."""
        return await self.checkpoint.carry_out(self.proposal(target, n), _effect)

    async def begin(self, target: str = "look_up", n: int = 1) -> Cleared:
        """An action that was admitted and never settled."""
        admission = await self.checkpoint.admit(self.proposal(target, n))
        assert isinstance(admission, Cleared)
        return admission

    async def exported(self) -> list[bytes]:
        """The lines of a complete export."""
        pages = [page async for page in self.ledger.export(OWNER, head_seconds=0)]
        return b"".join(pages).splitlines(keepends=True)


async def _effect(cleared: Cleared) -> Receipt:
    """What the tool answers."""
    return Receipt(
        status="done",
        result=b'{"ok":true}',
        content=Content(rest=b'{"ok":true}'),
        cost_nanousd=cleared.bound.nanousd,
    )


def ended_sessions(raw: Raw) -> Sequence[dict[str, Any]]:
    """End every session of the product on this PostgreSQL database, as a failing server would."""
    return raw.run(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
