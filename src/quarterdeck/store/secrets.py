"""Rows of secrets: sealed by the master key, listed by name only."""

from quarterdeck.keys import SealingKey
from quarterdeck.store.database import Reading, Row, Transaction


def put(tx: Transaction, master: SealingKey, name: str, value: str, *, by: str = "") -> None:
    """Set or replace a secret."""
    tx.execute(
        "insert into secrets (name, sealed, set_at, set_by) values (:name, :sealed, :now, :by)"
        " on conflict (name) do update set sealed = excluded.sealed, set_at = excluded.set_at,"
        " set_by = excluded.set_by",
        {"name": name, "sealed": master.seal(name, value.encode()), "now": tx.now, "by": by},
    )


def find(tx: Reading, master: SealingKey, name: str) -> str | None:
    """A secret's value; only `upstream/` asks for it."""
    row = tx.row("select sealed from secrets where name = :name", {"name": name})
    return None if row is None else master.open(name, bytes(row["sealed"])).decode()


def find_set(tx: Reading, name: str) -> Row | None:
    """When a secret was set last, and by whom."""
    return tx.row("select set_at, set_by from secrets where name = :name", {"name": name})


def remove(tx: Transaction, name: str) -> bool:
    """Forget a secret."""
    return tx.execute("delete from secrets where name = :name", {"name": name}) == 1


def list_names(tx: Reading) -> list[Row]:
    """Names and when they were set; never a value."""
    return list(tx.rows("select name, set_at, set_by from secrets order by name"))
