"""Readings for `doctor`: what only the database itself can say."""

import asyncio
from typing import Final

from quarterdeck.domain.errors import QuarterdeckError, Unavailable
from quarterdeck.store import standing
from quarterdeck.store.database import Database, Reading, Row

ANSWER_SECONDS_MAX: Final = 5

_SCHEMA: Final = {
    "sqlite": "select user_version as number from pragma_user_version",
    "postgresql": "select max(number) as number from schema_version",
}
_TIME: Final = "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) as at"


async def check_alive(db: Database) -> None:
    """Raise Unavailable unless the database answers in time. Anybody may ask: it names no place."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await db.read(standing.get)
    except (QuarterdeckError, TimeoutError) as error:
        hint = "its operators can run: quarterdeck doctor"
        raise Unavailable("the database does not answer", hint=hint) from error


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
        "select count(*) as count, min(id) as oldest from actions"
        " where state = 'in_doubt' and state <> 'done' and state <> 'begun'"
    )
    assert row is not None, "counting always answers"
    return row


def find_wrapped(tx: Reading) -> Row | None:
    """Any one key that the master key must be able to open."""
    return tx.row("select name, wrapped from keys order by name limit 1")
