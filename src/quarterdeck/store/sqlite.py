"""SQLite: WAL, synchronous=FULL, one writer, a few readers. One process holds the file."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

from quarterdeck.domain.errors import Conflict, Corrupt, Unavailable
from quarterdeck.sources import Clock
from quarterdeck.store import migrations
from quarterdeck.store.batch import Fetched
from quarterdeck.store.database import (
    PARAMETER,
    Chain,
    Need,
    Needs,
    Params,
    ReadFunction,
    Row,
    WriteFunction,
    nothing,
)
from quarterdeck.store.group import GroupLost
from quarterdeck.store.writer import LoopWriter

T = TypeVar("T")
_NOTHING: Final[Params] = {}
READERS: Final = 4
BUSY_SECONDS: Final = 5
_STATEMENTS_CACHED: Final = 512


# What is neither text nor a number is offered to adapters before it is bound as it is, and where
# there is none, that takes one failed look-up after another. These give back what they got.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), {None: None}.get)


@lru_cache(maxsize=_STATEMENTS_CACHED)
def _positional(sql: str) -> tuple[str, Callable[[Params], tuple[Any, ...]]]:
    """A statement with its names left out, and what takes their values from a row in order.

    To look up the name of each value of each row costs as much as to store it.
    """
    first, *others = PARAMETER.findall(sql)
    values_of = itemgetter(first, *others) if others else lambda row: (row[first],)
    return PARAMETER.sub("?", sql), values_of


def connect(path: Path, *, pages_max: int | None = None) -> sqlite3.Connection:
    """Open a connection as every part of the product uses it."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        cached_statements=_STATEMENTS_CACHED,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("pragma foreign_keys=on")
    connection.execute("pragma temp_store=memory")
    connection.execute("pragma cache_size=-16000")
    if pages_max is not None:
        connection.execute(f"pragma max_page_count={int(pages_max)}")
    return connection


class _Statements:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def row(  # a connection has no queue to send first
        self, sql: str, params: Params = _NOTHING, *, about: str | None = None
    ) -> Row | None:
        """The first row, or `None`."""
        found: Row | None = self.connection.execute(sql, params).fetchone()
        return found

    def rows(self, sql: str, params: Params = _NOTHING) -> Sequence[Row]:
        found: Sequence[Row] = self.connection.execute(sql, params).fetchall()
        return found


class SqliteWrites(_Statements):
    """The write connection."""

    def __init__(self, connection: sqlite3.Connection, chain: Chain, clock: Clock) -> None:
        super().__init__(connection)
        self.chain = chain
        self.now = clock.micros()
        self._clock = clock

    def execute(self, sql: str, params: Params = _NOTHING) -> int:
        """Run one statement."""
        self._check_open()
        return self.connection.execute(sql, params).rowcount

    def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for every row."""
        self._check_open()
        self.connection.executemany(sql, rows)

    def execute_all(self, batch: Sequence[tuple[str, Sequence[Params]]]) -> None:
        """Run each statement for each of its rows."""
        for sql, rows in batch:
            self._check_open()
            statement, values_of = _positional(sql)
            self.connection.executemany(statement, map(values_of, rows))

    def _check_open(self) -> None:
        # A full disk makes SQLite roll back by itself: what came then would commit by itself, too.
        if not self.connection.in_transaction:
            raise GroupLost("the transaction was rolled back by the database")

    # One process holds the file: every row it reads is its own.
    locked_row = _Statements.row

    def try_lock(self, name: str) -> bool:
        """One process holds the file and writes one group at a time: always the only one."""
        return True

    def begin(self, needs: Sequence[Need]) -> Fetched:
        """Take the write lock. A row costs nothing to fetch when it is read, so none is now."""
        try:
            self.connection.execute("begin immediate")
            self.now = max(self.now, self._clock.micros())  # a ledger never steps back
        except sqlite3.Error as error:
            raise GroupLost(str(error)) from error
        return {}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it, `begin` waits for a file that another program has locked."""
        self.connection.execute(f"pragma busy_timeout={BUSY_SECONDS * 1000}")
        try:
            yield
        finally:
            self.connection.execute("pragma busy_timeout=0")

    def commit(self) -> None:
        """Commit."""
        try:
            self.connection.execute("commit")
        except sqlite3.Error as error:
            raise GroupLost(str(error)) from error

    def tidy(self) -> None:
        """Move the log into the file, so that it is begun anew; what readers still need stays."""
        with suppress(sqlite3.Error):
            self.connection.execute("pragma wal_checkpoint(passive)").fetchall()

    def explained(self, error: BaseException) -> BaseException:
        """A database error as one of ours."""
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(f"contradicts what is recorded: {error}")
        if isinstance(error, sqlite3.Error):
            return Unavailable(f"the database failed: {error}", hint="see `quarterdeck doctor`")
        return error

    def abandon(self) -> None:
        """Roll back. Where even that fails, the next `begin` says so."""
        if self.connection.in_transaction:
            with suppress(sqlite3.Error):
                self.connection.execute("rollback")

    def close(self) -> None:
        """Close."""
        self.connection.close()


class SqliteDatabase:
    """A database in one file."""

    dialect = "sqlite"

    def __init__(
        self, path: Path, *, writer: str, clock: Clock, pages_max: int | None = None
    ) -> None:
        self.path = path
        self._clock = clock
        self._chain = Chain(writer=writer)
        self._pages_max = pages_max
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._writer = LoopWriter(self._open_writer())

    def _open_writer(self) -> SqliteWrites:
        try:
            connection = connect(self.path, pages_max=self._pages_max)
            migrations.migrate_sqlite(connection)
        except sqlite3.Error as error:
            raise Unavailable(
                f"cannot open the database `{self.path}`: {error}",
                hint="check that the folder exists, is writable and has free space",
            ) from error
        connection.execute("pragma busy_timeout=0")
        # The writer moves the log into the file itself (`tidy`); this only bounds one huge group.
        connection.execute("pragma wal_autocheckpoint=8000")
        return SqliteWrites(connection, self._chain, self._clock)

    def write(
        self, fn: WriteFunction[T], *, needs: Needs = nothing, patient: bool = False
    ) -> Awaitable[T]:
        """Queue a write."""
        return self._writer.submit(fn, needs, patient=patient)

    def read(self, fn: ReadFunction[T]) -> Awaitable[T]:
        """Run a read on a reader's connection."""
        return asyncio.get_running_loop().run_in_executor(self._readers, self._read, fn)

    def _read(self, fn: ReadFunction[T]) -> T:
        try:
            return fn(self._reader())
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _reader(self) -> _Statements:
        statements: _Statements | None = getattr(self._local, "statements", None)
        if statements is None:
            connection = connect(self.path)
            connection.execute("pragma query_only=on")
            self._opened.append(connection)
            statements = self._local.statements = _Statements(connection)
        return statements

    @staticmethod
    def _explained(error: sqlite3.Error) -> Exception:
        """A failed read as one of ours; a wrong statement stays the bug it is."""
        if isinstance(error, sqlite3.OperationalError):
            return Unavailable(
                f"cannot read the database: {error}", hint="see `quarterdeck doctor`"
            )
        if type(error) is sqlite3.DatabaseError:
            return Corrupt(
                f"the database file is damaged: {error}",
                hint="keep a copy of it as it is and restore a backup",
            )
        return error

    async def close(self) -> None:
        """Finish what is queued, then close every connection."""
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._opened:
            connection.close()
