"""PostgreSQL: psycopg on the same writer thread and readers; many processes share the database."""

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import dict_row

from quarterdeck.domain.errors import Conflict, Unavailable
from quarterdeck.store import migrations
from quarterdeck.store.database import Chain, Params, ReadFunction, Row, WriteFunction
from quarterdeck.store.writer import Deadlocked, GroupLost, ThreadWriter

T = TypeVar("T")
READERS: Final = 4
CONNECT_SECONDS: Final = 5
LOOK_UP_SECONDS: Final = 30  # how long a lost commit is looked up before it counts as unknown
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]\w*)")
_BEGIN_ATTEMPT: Final = (
    "insert into attempts values (%s, (extract(epoch from clock_timestamp()) * 1e6)::bigint)"
    " returning at"
)
_LOCK_BUDGETS: Final = "select id from budgets where id = any(%s) order by id for update"


@lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """The portable `:named` parameters in psycopg's form."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


def connect(url: str) -> "psycopg.Connection[dict[str, Any]]":
    """Open a connection as every part of the product uses it."""
    return psycopg.connect(
        url, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS
    )


class _Statements:
    def __init__(self, connection: "psycopg.Connection[dict[str, Any]]") -> None:
        self.connection = connection

    def row(self, sql: str, params: Params = {}) -> Row | None:  # noqa: B006  read only
        return self.connection.execute(translated(sql), params, prepare=True).fetchone()  # type: ignore[arg-type]

    def rows(self, sql: str, params: Params = {}) -> Sequence[Row]:  # noqa: B006  read only
        return self.connection.execute(translated(sql), params, prepare=True).fetchall()  # type: ignore[arg-type]


class PostgresqlWrites(_Statements):
    """The write connection. It reconnects by itself before the next group."""

    def __init__(self, url: str, chain: Chain, attempt: Callable[[], str]) -> None:
        super().__init__(connect(url))
        self.url = url
        self.chain = chain
        self._attempt = attempt
        self._attempt_id = ""
        self.now = 0
        migrations.migrate_postgresql(self.connection)

    def execute(self, sql: str, params: Params = {}) -> int:  # noqa: B006  read only
        """Run one statement."""
        return self.connection.execute(translated(sql), params, prepare=True).rowcount  # type: ignore[arg-type]

    def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for every row, in one pipeline."""
        with self.connection.cursor() as cursor:
            cursor.executemany(translated(sql), rows)  # type: ignore[arg-type]

    def begin(self, touches: Sequence[str]) -> None:
        """Open the transaction; lock the union of budget rows in one ordered statement."""
        try:
            if self.connection.closed or self.connection.broken:
                self.connection = connect(self.url)
            self._attempt_id = self._attempt()
            self.connection.execute("begin")
            begun = self.connection.execute(_BEGIN_ATTEMPT, (self._attempt_id,)).fetchone()
            assert begun is not None
            self.now = max(self.now, int(begun["at"]))  # a ledger never steps back
            if touches:
                self.connection.execute(_LOCK_BUDGETS, (list(touches),))
        except psycopg.Error as error:
            raise self._lost(error) from error

    def savepoint(self) -> None:
        """Mark."""
        self.connection.execute("savepoint job")

    def release(self) -> None:
        """Keep."""
        try:
            self.connection.execute("release savepoint job")
        except psycopg.Error as error:
            raise self._lost(error) from error

    def undo(self) -> None:
        """Forget what the function did; a dead connection or a deadlock takes the whole group."""
        try:
            self.connection.execute("rollback to savepoint job")
            self.connection.execute("release savepoint job")
        except psycopg.Error as error:
            raise self._lost(error) from error

    def waiting(self) -> "nullcontext[None]":
        """Every `begin` waits here."""
        return nullcontext()

    def commit(self) -> None:
        """Commit; if the answer is lost, look the attempt up before anybody is told anything."""
        try:
            self.connection.execute("commit")
        except psycopg.OperationalError as error:
            if not self._committed_after_all(error):
                raise GroupLost(str(error)) from error
        except psycopg.Error as error:
            raise self._lost(error) from error

    def _committed_after_all(self, error: psycopg.Error) -> bool:
        until = time.monotonic() + LOOK_UP_SECONDS
        while True:
            try:
                self.connection.close()
                self.connection = connect(self.url)
                found = self.connection.execute(
                    "select 1 from attempts where id = %s", (self._attempt_id,)
                )
                return found.fetchone() is not None
            except psycopg.Error:
                if time.monotonic() > until:
                    raise GroupLost(f"the database went away during a commit: {error}") from error
                time.sleep(0.2)

    def _lost(self, error: psycopg.Error) -> GroupLost:
        if isinstance(error, psycopg.errors.DeadlockDetected):
            return Deadlocked(str(error))
        return GroupLost(str(error))

    def explained(self, error: BaseException) -> BaseException:
        """A database error as one of ours."""
        if isinstance(error, psycopg.errors.DeadlockDetected):
            raise Deadlocked(str(error)) from error
        if isinstance(error, psycopg.errors.IntegrityError):
            return Conflict(f"contradicts what is recorded: {error}")
        if isinstance(error, psycopg.Error):
            return Unavailable(f"the database failed: {error}", hint="see `quarterdeck doctor`")
        return error

    def abandon(self) -> None:
        """Roll back; a broken connection has rolled back by itself."""
        try:
            self.connection.execute("rollback")
        except psycopg.Error:
            self.connection.close()

    def close(self) -> None:
        """Close."""
        self.connection.close()


class PostgresqlDatabase:
    """A database on a server."""

    dialect = "postgresql"

    def __init__(self, url: str, *, writer: str, attempt: Callable[[], str]) -> None:
        self._url = url
        self._chain = Chain(writer=writer)
        self._attempt = attempt
        self._local = threading.local()
        self._opened: list[psycopg.Connection[dict[str, Any]]] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._writer = ThreadWriter(self._open_writer)

    def _open_writer(self) -> PostgresqlWrites:
        try:
            return PostgresqlWrites(self._url, self._chain, self._attempt)
        except psycopg.Error as error:
            raise Unavailable(
                f"cannot reach PostgreSQL: {error}",
                hint="check QUARTERDECK_DATABASE_URL and that the server accepts connections",
            ) from error

    def write(self, fn: WriteFunction[T], *, touches: Sequence[str] = ()) -> Awaitable[T]:
        """Queue a write."""
        return self._writer.submit(fn, touches)

    def read(self, fn: ReadFunction[T]) -> Awaitable[T]:
        """Run a read on a reader's connection."""
        return asyncio.get_running_loop().run_in_executor(self._readers, self._read, fn)

    def _read(self, fn: ReadFunction[T]) -> T:
        statements: _Statements | None = getattr(self._local, "statements", None)
        try:
            if statements is None or statements.connection.closed or statements.connection.broken:
                connection = connect(self._url)
                connection.execute("set default_transaction_read_only = on")
                self._opened.append(connection)
                statements = self._local.statements = _Statements(connection)
            return fn(statements)
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"cannot read from PostgreSQL: {error}", hint="try again when the server is back"
            ) from error

    async def close(self) -> None:
        """Finish what is queued, then close every connection."""
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._opened:
            connection.close()
