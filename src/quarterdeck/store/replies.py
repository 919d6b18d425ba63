"""Rows of answers that are given again to whoever repeats a request under its idempotency key."""

from typing import Final

from quarterdeck.store.database import Reading, Row, Transaction

_INSERT: Final = """
insert into replies (caller, key, digest, status, sealed, at)
values (:caller, :key, :digest, :status, :sealed, :now) on conflict (caller, key) do nothing
"""
_AMEND: Final = """
update replies set status = :status, sealed = :sealed where caller = :caller and key = :key
"""


def find(tx: Reading, caller: str, key: bytes) -> Row | None:
    """What was answered to this caller under this key."""
    return tx.row(
        "select digest, status, sealed, at from replies where caller = :caller and key = :key",
        {"caller": caller, "key": key},
    )


def insert(tx: Transaction, row: dict[str, object]) -> bool:
    """Keep an answer; `False` if there is one under this key already."""
    return tx.execute(_INSERT, {**row, "now": tx.now}) == 1


def amend(tx: Transaction, row: dict[str, object]) -> None:
    """Replace how a request began by how it ended."""
    tx.execute(_AMEND, row)


def forget(tx: Transaction, before: int) -> None:
    """Forget what was answered before a time (microseconds)."""
    tx.execute("delete from replies where at < :before", {"before": before})


def count(tx: Reading, caller: str) -> int:
    """How many answers to a caller are kept."""
    row = tx.row("select count(*) as kept from replies where caller = :caller", {"caller": caller})
    assert row is not None, "counting always answers"
    return int(row["kept"])
