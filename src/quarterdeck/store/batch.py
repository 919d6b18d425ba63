"""What a write function is given: statements that run now, and rows that wait for the commit.

Most of what an action writes is not read again before its commit: its row, its payloads, its leaf,
the new state of its budgets. Such rows are queued, and go to the database just before the commit:
one statement for the rows of the whole group, on PostgreSQL in one round trip.

INVARIANT: a statement that runs now sees everything written before it. The queue is sent first,
unless the statement names what it is about and nothing queued is about that.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from quarterdeck.store.database import Chain, Params, Row

# Rows that were fetched when the group began, by statement and value.
Fetched: TypeAlias = Mapping[tuple[str, str], Row | None]
_NOTHING: Final[Params] = {}
_NONE_FETCHED: Final[Fetched] = {}


class Statements(Protocol):
    """What a dialect runs."""

    chain: Chain
    now: int

    def row(self, sql: str, params: Params = ...) -> Row | None:
        """The first row, or `None`."""

    def rows(self, sql: str, params: Params = ...) -> Sequence[Row]:
        """All rows."""

    def locked_row(self, sql: str, params: Params) -> Row | None:
        """The first row, locked until the transaction ends."""

    def execute(self, sql: str, params: Params = ...) -> int:
        """Run one statement; returns how many rows it changed."""

    def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for every row."""

    def execute_all(self, batch: Sequence[tuple[str, Sequence[Params]]]) -> None:
        """Run each statement for each of its rows, in order."""

    def try_lock(self, name: str) -> bool:
        """Be the only one until this transaction ends."""


class Batch:
    """One group's transaction."""

    def __init__(self, statements: Statements) -> None:
        self.chain = statements.chain
        self.now = 0
        self._statements = statements
        self._row, self._locked_row = statements.row, statements.locked_row
        self._queued: dict[str, dict[Hashable, Params]] = {}
        self._about: set[str] = set()
        self._fetched: Fetched = _NONE_FETCHED
        # What the function that runs now has queued, and what each row replaced.
        self._mine: list[tuple[str, Hashable, Params | None]] = []
        self.reached = False

    # --- for functions ---------------------------------------------------------------------------

    def later(self, sql: str, row: Params, *, key: Hashable, about: tuple[str, ...] = ()) -> None:
        """Queue a row for a statement; it replaces the row queued under the same key."""
        rows = self._queued.get(sql)
        if rows is None:
            rows = self._queued[sql] = {}
        self._mine.append((sql, key, rows.get(key)))
        rows[key] = row
        if about:
            self._about.update(about)

    def queued(self, sql: str, key: Hashable) -> Params | None:
        """The row that waits under a key."""
        rows = self._queued.get(sql)
        return None if rows is None else rows.get(key)

    def row(self, sql: str, params: Params = _NOTHING, *, about: str | None = None) -> Row | None:
        """The first row, or `None`."""
        if self._queued and (about is None or about in self._about):
            self.send()
        if self._fetched:
            key = (sql, next(iter(params.values()), ""))
            if key in self._fetched:
                return self._fetched[key]
        return self._row(sql, params)

    def rows(self, sql: str, params: Params = _NOTHING) -> Sequence[Row]:
        """All rows."""
        self.send()
        return self._statements.rows(sql, params)

    def locked_row(self, sql: str, params: Params, *, about: str | None = None) -> Row | None:
        """The first row, locked until the transaction ends."""
        if self._queued and (about is None or about in self._about):
            self.send()
        if self._fetched:
            key = (sql, next(iter(params.values()), ""))
            if key in self._fetched:
                return self._fetched[key]
        return self._locked_row(sql, params)

    def execute(self, sql: str, params: Params = _NOTHING) -> int:
        """Run one statement; returns how many rows it changed."""
        self._run_now()
        return self._statements.execute(sql, params)

    def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for every row."""
        self._run_now()
        self._statements.execute_many(sql, rows)

    def try_lock(self, name: str) -> bool:
        """Be the only one, in any process, until this transaction ends."""
        return self._statements.try_lock(name)

    def _run_now(self) -> None:
        self.send()
        self.reached = True
        self._fetched = _NONE_FETCHED  # what changes now may be among it

    # --- for the writer --------------------------------------------------------------------------

    def begin(self, now: int, fetched: Fetched) -> None:
        """A transaction has begun: nothing of an earlier one is left."""
        self.now = now
        self._fetched = fetched
        self._queued.clear()
        self._about.clear()
        self.turn()

    def turn(self) -> None:
        """The next function's turn."""
        self._mine.clear()
        self.reached = False

    def take_back(self) -> None:
        """Forget what this function has queued; what has `reached` the database stays there."""
        for sql, key, before in reversed(self._mine):
            if before is None:
                del self._queued[sql][key]
            else:
                self._queued[sql][key] = before
        self._mine.clear()

    def send(self) -> None:
        """Run what is queued."""
        if not self._queued:
            return
        self.reached = self.reached or bool(self._mine)
        batch = [(sql, list(rows.values())) for sql, rows in self._queued.items() if rows]
        self._queued.clear()
        self._about.clear()
        self._mine.clear()
        self._fetched = _NONE_FETCHED
        self._statements.execute_all(batch)
