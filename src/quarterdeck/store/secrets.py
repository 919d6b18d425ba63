"""Rows of secrets: sealed by the master key, listed by name only.

A rotated secret keeps its value of before for a while, in `retiring_secrets`.
"""

from dataclasses import dataclass, field

from quarterdeck.keys import SealingKey
from quarterdeck.store.database import Reading, Row, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The value of a secret, and the one before it while that may still be used."""

    value: str = field(repr=False)
    before: str | None = field(default=None, repr=False)
    before_until: int = 0

    def other_than(self, refused: str, now: int) -> str | None:
        """Another value than one that was refused, if there is one that may be used."""
        if self.value != refused:
            return self.value
        return self.before if now < self.before_until and self.before != refused else None


def put(tx: Transaction, master: SealingKey, name: str, value: str, *, by: str = "") -> None:
    """Set or replace a secret; the value before it is forgotten."""
    _forget_before(tx, name)
    tx.execute(
        "insert into secrets (name, sealed, set_at, set_by) values (:name, :sealed, :now, :by)"
        " on conflict (name) do update set sealed = excluded.sealed, set_at = excluded.set_at,"
        " set_by = excluded.set_by",
        {"name": name, "sealed": master.seal(name, value.encode()), "now": tx.now, "by": by},
    )


def rotate(
    tx: Transaction, master: SealingKey, name: str, value: str, *, until: int, by: str
) -> bool:
    """Replace a secret and keep the value before it until then; false if there is no secret."""
    row = tx.row("select sealed from secrets where name = :name", {"name": name})
    if row is None:
        return False
    put(tx, master, name, value, by=by)
    tx.execute(
        "insert into retiring_secrets (name, sealed, until) values (:name, :sealed, :until)",
        {"name": name, "sealed": bytes(row["sealed"]), "until": until},
    )
    return True


def find_kept(tx: Reading, master: SealingKey, name: str) -> Kept | None:
    """A secret's values; only `upstream/` asks for them."""
    row = tx.row(
        "select s.sealed, r.sealed as before, r.until from secrets s"
        " left join retiring_secrets r on r.name = s.name where s.name = :name",
        {"name": name},
    )
    if row is None:
        return None
    before = row["before"]
    return Kept(
        value=master.open(name, bytes(row["sealed"])).decode(),
        before=None if before is None else master.open(name, bytes(before)).decode(),
        before_until=row["until"] or 0,
    )


def find_set(tx: Reading, name: str) -> Row | None:
    """When a secret was set last, and by whom."""
    return tx.row("select set_at, set_by from secrets where name = :name", {"name": name})


def remove(tx: Transaction, name: str) -> bool:
    """Forget a secret."""
    _forget_before(tx, name)
    return tx.execute("delete from secrets where name = :name", {"name": name}) == 1


def has_retiring(tx: Reading) -> bool:
    """Whether any value waits to be forgotten."""
    return tx.row("select 1 as found from retiring_secrets limit 1") is not None


def forget_retired(tx: Transaction) -> int:
    """Forget the values whose time is over; how many there were."""
    return tx.execute("delete from retiring_secrets where until <= :now", {"now": tx.now})


def list_names(tx: Reading) -> list[Row]:
    """Names, when each was set, and until when the value before it is good; never a value."""
    return list(
        tx.rows(
            "select s.name, s.set_at, s.set_by, r.until as before_until from secrets s"
            " left join retiring_secrets r on r.name = s.name order by s.name"
        )
    )


def _forget_before(tx: Transaction, name: str) -> None:
    tx.execute("delete from retiring_secrets where name = :name", {"name": name})
