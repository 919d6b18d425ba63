"""The one seam between SQL and the rest.

A write is one synchronous function over a transaction: it cannot await, so no transaction spans a
remote wait (I-5). The writer runs queued functions one after the other, commits once, then resumes
the callers. SQL is the portable subset with `:named` parameters; both dialects run it.
"""

import re
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

Row: TypeAlias = Mapping[str, Any]
Params: TypeAlias = Mapping[str, Any]
PARAMETER: Final = re.compile(r"(?<!:):([a-z_]\w*)")  # in a statement; `::` is a cast
# For `about`: what is read is in tables no row is ever queued for.
NEVER_QUEUED: Final = ""
T = TypeVar("T")


@dataclass(slots=True)
class Chain:
    """Where this process's chain of ledger leaves stands; put back where the leaf is taken back."""

    writer: str
    number: int = 0
    previous: bytes = b""


class Need(NamedTuple):
    """A row that a write will read: its statement, that one's only parameter, and its value."""

    sql: str
    name: str
    value: str
    locked: bool = False


class Reading(Protocol):
    """Statements that only read."""

    def row(self, sql: str, params: Params = ..., *, about: str | None = ...) -> Row | None:
        """The first row, or `None`. In a write, `about` says what it reads about: rows that are
        queued about nothing of that may stay queued.
        """

    def rows(self, sql: str, params: Params = ...) -> Sequence[Row]:
        """All rows."""


class Transaction(Reading, Protocol):
    """Statements inside the writer's transaction (`store/batch.py`)."""

    chain: Chain
    now: int  # microseconds, read once per group: the database's own time on PostgreSQL (I-16)

    def locked_row(self, sql: str, params: Params, *, about: str | None = ...) -> Row | None:
        """The first row, which no other process changes until this transaction ends."""

    def later(self, sql: str, row: Params, *, key: Hashable, about: tuple[str, ...] = ...) -> None:
        """Queue a row for a statement nobody needs the answer of; a key's last one counts."""

    def queued(self, sql: str, key: Hashable) -> Params | None:
        """The row that is queued under a key."""

    def execute(self, sql: str, params: Params = ...) -> int:
        """Run one statement; returns how many rows it changed."""

    def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for every row."""

    def try_lock(self, name: str) -> bool:
        """Be the only one, in any process, until this transaction ends; `False` if another is."""


WriteFunction: TypeAlias = Callable[[Transaction], T]
ReadFunction: TypeAlias = Callable[[Reading], T]
Needs: TypeAlias = Callable[[], Sequence[Need]]


def nothing() -> Sequence[Need]:
    """The needs of a write that names none."""
    return ()


class Database(Protocol):
    """SQLite or PostgreSQL."""

    dialect: str

    def write(
        self, fn: WriteFunction[T], *, needs: Needs = ..., patient: bool = ...
    ) -> Awaitable[T]:
        """Queue a write; the result comes after its group has committed.

        A `patient` write may wait a moment for company: for what nobody waits for.

        `needs` are rows it will read: PostgreSQL fetches those of a whole group in one round trip,
        and locks in one order those that are to be locked.
        """

    def read(self, fn: ReadFunction[T]) -> Awaitable[T]:
        """Run a read on a connection of its own."""

    async def close(self) -> None:
        """Finish what is queued, then close every connection."""
