"""Rows of approvals: what a person was asked about one held action, and what they answered."""

from collections.abc import Sequence
from typing import Any, Final

from quarterdeck.domain.approvals import Approval
from quarterdeck.domain.ids import ActionId, ApprovalId
from quarterdeck.store import decisions, standing
from quarterdeck.store.database import Reading, Row, Transaction
from quarterdeck.store.pages import list_newest

_INSERT: Final = """
insert into approvals (id, action, run, agent, team, revision, kind, target, call, digest, labels,
  consequences, incarnation, state, asked_at)
values (:id, :action, :run, :agent, :team, :revision, :kind, :target, :call, :digest, :labels,
  :consequences, :incarnation, 'waiting', :asked_at)
"""
_ALL: Final = "select * from approvals"
_BY_ID: Final = "select * from approvals where id = :id"
_SPENT: Final = "select * from approvals where spent_by = :action and state = 'spent'"
_BY_CALL: Final = """
select * from approvals where run = :run and target = :target and call = :call
order by case state when 'granted' then 0 when 'waiting' then 1 else 2 end, id desc limit 1
"""


def open(tx: Transaction, row: dict[str, Any]) -> None:
    """Ask."""
    tx.execute(_INSERT, {**row, "asked_at": tx.now})


def find(tx: Reading, approval: str) -> Row | None:
    """A whole row."""
    return tx.row(_BY_ID, {"id": approval})


def find_named(tx: Transaction, approval: str, run: str) -> Approval | None:
    """The approval of this run that a caller named, locked: another run's is not there."""
    row = tx.locked_row(_BY_ID, {"id": approval})
    return None if row is None or row["run"] != run else approval_of(row)


def find_of_call(tx: Transaction, run: str, target: str, call: str) -> Approval | None:
    """What this run was told about this call, locked: yes before not yet, else the newest.

    Two processes may have asked at once; whichever of the two cards is answered counts.
    """
    row = tx.locked_row(_BY_CALL, {"run": run, "target": target, "call": call})
    return None if row is None else approval_of(row)


def get_locked(tx: Transaction, approval: str) -> Row | None:
    """A whole row that nobody else answers or spends until this transaction ends."""
    return tx.locked_row(_BY_ID, {"id": approval})


def answer(tx: Transaction, approval: str, state: str, *, by: str, because: str) -> bool:
    """Answer a waiting one; `False` if it waits no more."""
    return (
        tx.execute(
            "update approvals set state = :state, answered_at = :at, answered_by = :by,"
            " because = :because where id = :id and state = 'waiting'",
            {"id": approval, "state": state, "at": tx.now, "by": by, "because": because},
        )
        == 1
    )


def spend(tx: Transaction, approval: str, action: str) -> bool:
    """Use a granted one up for an action; `False` if it is not there to be used."""
    return (
        tx.execute(
            "update approvals set state = 'spent', spent_by = :action"
            " where id = :id and state = 'granted'",
            {"id": approval, "action": action},
        )
        == 1
    )


def give_back(tx: Transaction, action: str) -> Row | None:
    """Make the one that an action was cleared with usable again; it, as it is then.

    Of a run that is over it is good for nothing any more.
    """
    row = tx.locked_row(_SPENT, {"action": action})
    if row is None:
        return None
    run = tx.row("select state, deadline from runs where id = :run", {"run": row["run"]})
    is_live = run is not None and run["state"] == "running" and run["deadline"] > tx.now
    state = "granted" if is_live else "lapsed"
    tx.execute(
        "update approvals set state = :state, spent_by = null where id = :id",
        {"id": row["id"], "state": state},
    )
    return {**row, "state": state, "spent_by": None}


def lapse(tx: Transaction, run: str) -> list[str]:
    """Nothing of a run that has ended waits or can be used any more; which those were."""
    rows = tx.rows(
        "select id from approvals where run = :run and state in ('waiting', 'granted') order by id",
        {"run": run},
    )
    if rows:
        tx.execute(
            "update approvals set state = 'lapsed' where run = :run"
            " and state in ('waiting', 'granted')",
            {"run": run},
        )
    return [row["id"] for row in rows]


def list_page(
    tx: Reading, *, states: Sequence[str], team: str, run: str, before: str, rows: int
) -> list[Row]:
    """Approvals that fit, newest first, older than `before`.

    Those that wait for an answer wait in this incarnation: of another they are void.
    """
    fits = {"team": team, "run": run}
    if "waiting" in states or "granted" in states:
        fits["incarnation"] = standing.get(tx).incarnation
    return list_newest(tx, _ALL, "id", fits=fits, states=states, before=before, rows=rows)


def count_waiting(tx: Reading, team: str) -> int:
    """How many wait for an answer, of those that this incarnation asked."""
    return decisions.count_waiting(tx, "approvals", "waiting", {"team": team})


def of_actions(tx: Reading, actions: Sequence[str]) -> dict[str, Row]:
    """The approval that each of these actions asked for or used, where there is one."""
    return decisions.of_actions(tx, "approvals", "spent_by", actions)


def approval_of(row: Row) -> Approval:
    """A row as a value."""
    return Approval(
        id=ApprovalId(row["id"]),
        action=ActionId(row["action"]),
        digest=row["digest"],
        labels=row["labels"],
        state=row["state"],
        incarnation=row["incarnation"],
        answered_by=row["answered_by"],
        because=row["because"],
        spent_by=row["spent_by"],
    )
