"""The one row of standing, freezes, and the lease of each process."""

from dataclasses import dataclass
from typing import Final

import msgspec

from quarterdeck.domain.limits import PROCESS_LEASE_SECONDS
from quarterdeck.store.database import Reading, Row, Transaction

_LEASE: Final = """
insert into processes (id, role, host, pid, started_at, lease_until)
values (:id, :role, :host, :pid, :now, :until)
on conflict (id) do update set lease_until = excluded.lease_until
"""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What every admission is compared with: incarnation, freeze epoch, what is frozen."""

    incarnation: str
    epoch: int
    fleet_version: str | None
    frozen: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One running process of the product."""

    id: str
    role: str
    host: str
    pid: int


def found(tx: Transaction, incarnation: str) -> None:
    """Make the standing row if this database is new."""
    tx.execute(
        "insert into standing (id, incarnation, epoch) values (1, :incarnation, 1)"
        " on conflict do nothing",
        {"incarnation": incarnation},
    )


def get(tx: Reading) -> Standing:
    """The standing and what is frozen."""
    row = tx.row("select * from standing where id = 1")
    assert row is not None, "a database is founded before it is used"
    scopes = frozenset(r["scope"] for r in tx.rows("select scope from freezes"))
    return _standing(row, scopes)


def _standing(row: Row, scopes: frozenset[str]) -> Standing:
    return Standing(
        incarnation=row["incarnation"],
        epoch=row["epoch"],
        fleet_version=row["fleet_version"],
        frozen=scopes,
    )


def freeze(tx: Transaction, scope: str, reason: str) -> None:
    """Freeze a scope: `fleet`, `team:x`, `agent:x`, `tool:x`, `run:x`; raises the epoch."""
    tx.execute(
        "insert into freezes (scope, reason, at) values (:scope, :reason, :at)"
        " on conflict (scope) do nothing",
        {"scope": scope, "reason": reason, "at": tx.now},
    )
    tx.execute("update standing set epoch = epoch + 1 where id = 1")


def thaw(tx: Transaction, scope: str) -> None:
    """Lift a freeze; raises the epoch."""
    tx.execute("delete from freezes where scope = :scope", {"scope": scope})
    tx.execute("update standing set epoch = epoch + 1 where id = 1")


def set_fleet(tx: Transaction, version: str) -> None:
    """Name the fleet version in force."""
    tx.execute("update standing set fleet_version = :version where id = 1", {"version": version})


def new_incarnation(tx: Transaction, incarnation: str) -> None:
    """After a restore: outstanding credentials and clearances are void."""
    tx.execute(
        "update standing set incarnation = :incarnation, epoch = epoch + 1 where id = 1",
        {"incarnation": incarnation},
    )


def renew_lease(tx: Transaction, process: Process) -> None:
    """Say that a process lives."""
    tx.execute(
        _LEASE,
        {
            "id": process.id,
            "role": process.role,
            "host": process.host,
            "pid": process.pid,
            "now": tx.now,
            "until": tx.now + PROCESS_LEASE_SECONDS * 1_000_000,
        },
    )


def end_lease(tx: Transaction, process: str) -> None:
    """A process ends in order: its lease is over now."""
    tx.execute("update processes set lease_until = 0 where id = :id", {"id": process})


def end_other_leases(tx: Transaction, process: str) -> None:
    """Where one process holds the whole database, every other lease is over."""
    tx.execute("update processes set lease_until = 0 where id <> :id", {"id": process})


def live(tx: Reading, now: int) -> list[Row]:
    """Processes whose lease has not expired."""
    return list(
        tx.rows("select * from processes where lease_until > :now order by id", {"now": now})
    )
