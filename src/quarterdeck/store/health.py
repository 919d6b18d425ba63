"""Readings for `doctor`: what only the database itself can say."""

from typing import Final

from quarterdeck.store.database import Reading, Row

_SCHEMA: Final = {
    "sqlite": "select user_version as number from pragma_user_version",
    "postgresql": "select max(number) as number from schema_version",
}
_TIME: Final = "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) as at"


def schema(tx: Reading, dialect: str) -> int:
    """The number of the newest migration this database has."""
    row = tx.row(_SCHEMA[dialect])
    return 0 if row is None or row["number"] is None else int(row["number"])


def find_time(tx: Reading, dialect: str) -> int | None:
    """The server's own time in microseconds; SQLite has none."""
    row = tx.row(_TIME) if dialect == "postgresql" else None
    return None if row is None else int(row["at"])


def count_in_doubt(tx: Reading) -> Row:
    """How many actions are in doubt, and the oldest of them."""
    row = tx.row(
        "select count(*) as count, min(id) as oldest from actions where state = 'in_doubt'"
    )
    assert row is not None, "counting always answers"
    return row


def find_wrapped(tx: Reading) -> Row | None:
    """Any one key that the master key must be able to open."""
    return tx.row("select name, wrapped from keys order by name limit 1")
