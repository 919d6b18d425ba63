"""The one seam between SQL and the rest.

A write is one synchronous function over a transaction: it cannot await, so no transaction spans a
remote wait (I-5). The writer runs queued functions each in its own savepoint, commits once, then
resumes the callers. SQL is the portable subset with `:named` parameters; both dialects run it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

Row: TypeAlias = Mapping[str, Any]
Params: TypeAlias = Mapping[str, Any]
T = TypeVar("T")


@dataclass(slots=True)
class Chain:
    """Where this process's chain of ledger leaves stands; undone with the savepoint it moved in."""

    writer: str
    number: int = 0
    previous: bytes = b""


class Reading(Protocol):
    """Statements that only read."""

    def row(self, sql: str, params: Params = ...) -> Row | None:
        """The first row, or `None`."""

    def rows(self, sql: str, params: Params = ...) -> Sequence[Row]:
        """All rows."""


class Transaction(Reading, Protocol):
    """Statements inside the writer's transaction."""

    chain: Chain
    now: int  # microseconds, read once per group: the database's own time on PostgreSQL (I-16)

    def execute(self, sql: str, params: Params = ...) -> int:
        """Run one statement; returns how many rows it changed."""

    def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for every row."""

    def try_lock(self, name: str) -> bool:
        """Be the only one, in any process, until this transaction ends; `False` if another is."""


WriteFunction: TypeAlias = Callable[[Transaction], T]
ReadFunction: TypeAlias = Callable[[Reading], T]


class Database(Protocol):
    """SQLite or PostgreSQL."""

    dialect: str

    def write(
        self, fn: WriteFunction[T], *, touches: Sequence[str] = ..., patient: bool = ...
    ) -> Awaitable[T]:
        """Queue a write; the result comes after its group has committed.

        A `patient` write may wait a moment for company: for what nobody waits for.

        `touches` are the ids of the budget rows it will update: PostgreSQL locks the union of a
        group in one ordered statement.
        """

    def read(self, fn: ReadFunction[T]) -> Awaitable[T]:
        """Run a read on a connection of its own."""

    async def close(self) -> None:
        """Finish what is queued, then close every connection."""
