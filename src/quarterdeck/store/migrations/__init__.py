"""Numbered SQL files, run once each, in order; the same text for both databases.

Sixty lines of our own: the libraries looked at bring their own connection handling or an ORM. The
only words that differ are `{blob}` and `{by_key}` (a table stored in its key's order on SQLite).
"""

import re
import sqlite3
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

from quarterdeck.domain.errors import Unavailable

_WORDS: Final = {
    "sqlite": {"blob": "blob", "by_key": " without rowid"},
    "postgresql": {"blob": "bytea", "by_key": ""},
}
_LOCK: Final = 0x71756172  # pg_advisory_xact_lock: two processes starting at once migrate in turn


def scripts(dialect: str) -> Iterator[tuple[int, str]]:
    """Every migration as (number, SQL text of the dialect), in order."""
    for entry in sorted(resources.files(__name__).iterdir(), key=lambda e: e.name):
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", entry.name):
            text = entry.read_text(encoding="utf-8")
            for word, written in _WORDS[dialect].items():
                text = text.replace("{" + word + "}", written)
            yield int(match[1]), text


def newest() -> int:
    """The number of the newest migration this code knows."""
    return max(number for number, _ in scripts("sqlite"))


def _check_not_newer(found: int) -> None:
    if found > newest():
        raise Unavailable(
            f"the database is at schema {found}, this program knows {newest()}",
            hint="run the newer version of quarterdeck, or restore a backup made with this one",
        )


def migrate_sqlite(connection: sqlite3.Connection) -> None:
    """Bring a SQLite file up to date, each migration in a transaction of its own."""
    found = int(connection.execute("pragma user_version").fetchone()[0])
    _check_not_newer(found)
    for number, text in scripts("sqlite"):
        if number > found:
            connection.executescript(
                f"begin immediate;\n{text}\npragma user_version={number};\ncommit;"
            )


def migrate_postgresql(connection: Any) -> None:
    """Bring a PostgreSQL database up to date in one transaction, under an advisory lock."""
    with connection.transaction():
        connection.execute(f"select pg_advisory_xact_lock({_LOCK})")
        connection.execute("create table if not exists schema_version (number integer primary key)")
        row = connection.execute("select coalesce(max(number), 0) as number from schema_version")
        found = int(row.fetchone()["number"])
        _check_not_newer(found)
        for number, text in scripts("postgresql"):
            if number > found:
                connection.execute(text)
                connection.execute("insert into schema_version values (%s)", (number,))
