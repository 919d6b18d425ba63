"""PostgreSQL: psycopg on the same writer thread and readers; many processes share the database."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import lru_cache
from typing import Any, Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.numeric import IntLoader

from quarterdeck.domain.errors import Conflict, Invalid, Unavailable
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
from quarterdeck.store.group import CommitUnknown, Deadlocked, GroupLost
from quarterdeck.store.writer import ThreadWriter

T = TypeVar("T")
_NOTHING: Final[Params] = {}
READERS: Final = 4
CONNECT_SECONDS: Final = 5
NAME_BYTES_MAX: Final = 63  # the server cuts an application name here
LOOK_UP_SECONDS: Final = 30  # how long a lost commit is looked up before it counts as unknown
LINGER_SECONDS: Final = 2  # how long a session whose client is gone may go on before it is ended
# The attempt before it is settled by now: so the table holds one row per process, not per group.
_BEGIN_ATTEMPT: Final = (
    "with settled as (delete from attempts where id = %s)"
    " insert into attempts values (%s, (extract(epoch from clock_timestamp()) * 1e6)::bigint)"
    " returning at"
)
# Waits for a transaction that still holds this id. Then either it is there, or it never will be.
_CLAIM_ATTEMPT: Final = "insert into attempts values (%s, 0) on conflict do nothing"
_END_SESSION: Final = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where pid = %s and application_name = %s and usename = current_user"
)
_CHAIN: Final = "select number, hash from leaves where writer = %s order by number desc limit 1"


@lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """The portable `:named` parameters in psycopg's form."""
    return PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


def _fetching(need: Need) -> tuple[str, Params]:
    sql = f"{need.sql} for update" if need.locked else need.sql
    return translated(sql), {need.name: need.value}


def connect(url: str, name: str = "quarterdeck") -> "psycopg.Connection[dict[str, Any]]":
    """Open a connection as every part of the product uses it."""
    connection = psycopg.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        connect_timeout=CONNECT_SECONDS,
        application_name=name,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        tcp_user_timeout=LOOK_UP_SECONDS * 1000,
    )
    # A sum of bigint is numeric there; ours are whole numbers, and no Decimal may leave the store.
    connection.adapters.register_loader("numeric", IntLoader)
    return connection


class _Statements:
    def __init__(self, connection: "psycopg.Connection[dict[str, Any]]") -> None:
        self.connection = connection

    def row(  # a connection has no queue to send first
        self, sql: str, params: Params = _NOTHING, *, about: str | None = None
    ) -> Row | None:
        """The first row, or `None`."""
        return self.connection.execute(translated(sql), params, prepare=True).fetchone()

    def rows(self, sql: str, params: Params = _NOTHING) -> Sequence[Row]:
        return self.connection.execute(translated(sql), params, prepare=True).fetchall()


class PostgresqlWrites(_Statements):
    """The write connection. It reconnects by itself before the next group."""

    def __init__(self, url: str, chain: Chain, attempt: Callable[[], str]) -> None:
        self._name = f"quarterdeck {chain.writer}"[:NAME_BYTES_MAX]
        super().__init__(connect(url, self._name))
        self._session = self.connection.info.backend_pid
        self.url = url
        self.chain = chain
        self._attempt = attempt
        self._attempt_id = ""
        self._settled_id = ""
        self._chain_unknown = False
        self.now = 0
        migrations.migrate_postgresql(self.connection)

    def execute(self, sql: str, params: Params = _NOTHING) -> int:
        """Run one statement."""
        return self.connection.execute(translated(sql), params, prepare=True).rowcount

    def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for every row, in one pipeline."""
        with self.connection.cursor() as cursor:
            cursor.executemany(translated(sql), rows)

    def execute_all(self, batch: Sequence[tuple[str, Sequence[Params]]]) -> None:
        """Run each statement for each of its rows, all in one round trip."""
        if self.connection.info.transaction_status == TransactionStatus.IDLE:
            raise GroupLost("the transaction was ended")
        with self.connection.pipeline(), self.connection.cursor() as cursor:
            for sql, rows in batch:
                cursor.executemany(translated(sql), rows)

    def locked_row(self, sql: str, params: Params) -> Row | None:
        """The first row; other processes wait for it until this transaction ends."""
        return self.row(f"{sql} for update", params)

    def try_lock(self, name: str) -> bool:
        """An advisory lock, gone with the transaction."""
        row = self.row(
            "select pg_try_advisory_xact_lock(hashtextextended(:n, 0)) as got", {"n": name}
        )
        return row is not None and bool(row["got"])

    def begin(self, needs: Sequence[Need]) -> Fetched:
        """Open the transaction; fetch what its members need, all in one round trip."""
        try:
            try:
                return self._open(needs)
            except psycopg.OperationalError:
                # The server went away while nothing was asked of it: nothing is lost, try anew.
                self.connection.close()
                return self._open(needs)
        except psycopg.Error as error:
            raise self._lost(error) from error

    def _connect(self) -> None:
        self.connection.close()
        self.connection = connect(self.url, self._name)
        self._session = self.connection.info.backend_pid

    def _open(self, needs: Sequence[Need]) -> Fetched:
        if self.connection.closed or self.connection.broken:
            self._connect()
        self._attempt_id = self._attempt()
        run = self.connection.execute
        with self.connection.pipeline():
            run("begin", prepare=True)
            attempt = run(_BEGIN_ATTEMPT, (self._settled_id, self._attempt_id), prepare=True)
            cursors = [run(*_fetching(need), prepare=True) for need in needs]
        begun = attempt.fetchone()
        assert begun is not None
        self.now = max(self.now, int(begun["at"]))  # a ledger never steps back
        if self._chain_unknown:
            last = self.connection.execute(_CHAIN, (self.chain.writer,)).fetchone()
            if last is not None:
                self.chain.number, self.chain.previous = last["number"], last["hash"]
        found = zip(needs, cursors, strict=True)
        return {(need.sql, need.value): cursor.fetchone() for need, cursor in found}

    def waiting(self) -> "nullcontext[None]":
        """Every `begin` waits here."""
        return nullcontext()

    def commit(self) -> None:
        """Commit; if the answer is lost, look the attempt up before anybody is told anything."""
        try:
            answer = self.connection.execute("commit").statusmessage
            if answer != "COMMIT":  # a transaction that had failed is rolled back without an error
                raise GroupLost(f"the server answered {answer} to a commit")
        except psycopg.OperationalError as error:
            if not self._committed_after_all(error):
                raise GroupLost(str(error)) from error
        except psycopg.Error as error:
            raise self._lost(error) from error
        self._settled_id, self._chain_unknown = self._attempt_id, False

    def tidy(self) -> None:
        """The server does that by itself."""

    def _committed_after_all(self, error: psycopg.Error) -> bool:
        """Ask on a new connection. The old session may still be on its way to the commit."""
        session, until = self._session, time.monotonic() + LOOK_UP_SECONDS
        while True:
            try:
                self._connect()
                self.connection.execute(f"set lock_timeout = '{LINGER_SECONDS}s'")
                claimed = self.connection.execute(_CLAIM_ATTEMPT, (self._attempt_id,)).rowcount
                self.connection.execute("reset lock_timeout")
                return claimed == 0
            except psycopg.errors.LockNotAvailable:
                self._end_session(session)
            except psycopg.Error:
                time.sleep(0.2)
            if time.monotonic() > until:
                self._chain_unknown = True
                raise CommitUnknown(f"the database went away during a commit: {error}") from error

    def _end_session(self, session: int) -> None:
        with suppress(psycopg.Error):
            self.connection.execute(_END_SESSION, (session, self._name))

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
        if isinstance(error, psycopg.DataError):
            return Invalid(
                f"the database cannot keep this value: {error}",
                hint="leave out null characters and numbers beyond 64 bits",
            )
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

    def write(
        self, fn: WriteFunction[T], *, needs: Needs = nothing, patient: bool = False
    ) -> Awaitable[T]:
        """Queue a write."""
        return self._writer.submit(fn, needs)

    def read(self, fn: ReadFunction[T]) -> Awaitable[T]:
        """Run a read on a reader's connection."""
        return asyncio.get_running_loop().run_in_executor(self._readers, self._read, fn)

    def _read(self, fn: ReadFunction[T]) -> T:
        try:
            try:
                return fn(self._reader())
            except psycopg.OperationalError:
                statements = getattr(self._local, "statements", None)
                if statements is None or not statements.connection.broken:
                    raise
                # The server had closed a connection that stood idle; a read may be done again.
                return fn(self._reader())
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"cannot read from PostgreSQL: {error}", hint="try again when the server is back"
            ) from error

    def _reader(self) -> _Statements:
        statements: _Statements | None = getattr(self._local, "statements", None)
        if statements is None or statements.connection.closed or statements.connection.broken:
            connection = connect(self._url)
            connection.execute("set default_transaction_read_only = on")
            if statements is not None:
                self._opened.remove(statements.connection)
                statements.connection.close()
            self._opened.append(connection)
            statements = self._local.statements = _Statements(connection)
        return statements

    async def close(self) -> None:
        """Finish what is queued, then close every connection."""
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._opened:
            connection.close()
