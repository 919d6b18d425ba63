"""Rows of suggestions: writes that were not made, and what a person did about each."""

from collections.abc import Sequence
from typing import Any, Final

from quarterdeck.store import decisions
from quarterdeck.store.database import Reading, Row, Transaction
from quarterdeck.store.pages import list_newest

_INSERT: Final = """
insert into suggestions (action, run, agent, team, revision, target, call, consequences,
  incarnation, state, made_at)
values (:action, :run, :agent, :team, :revision, :target, :call, :consequences, :incarnation,
  'open', :made_at)
"""
_ALL: Final = "select * from suggestions"
_BY_ACTION: Final = "select * from suggestions where action = :action"


def open(tx: Transaction, row: dict[str, Any]) -> None:
    """Keep a suggestion."""
    tx.execute(_INSERT, {**row, "made_at": tx.now})


def find(tx: Reading, suggestion: str) -> Row | None:
    """A whole row."""
    return tx.row(_BY_ACTION, {"action": suggestion})


def find_open(tx: Reading, run: str, target: str, call: str) -> Row | None:
    """The same call of the same run, not yet decided about."""
    return tx.row(
        "select * from suggestions where run = :run and target = :target and call = :call"
        " and state = 'open' order by action desc limit 1",
        {"run": run, "target": target, "call": call},
    )


def get_locked(tx: Transaction, suggestion: str) -> Row | None:
    """A whole row that nobody else decides about until this transaction ends."""
    return tx.locked_row(_BY_ACTION, {"action": suggestion})


def dismiss(tx: Transaction, suggestion: str, *, by: str, because: str) -> bool:
    """Put an open one aside; `False` if somebody has decided before."""
    return (
        tx.execute(
            "update suggestions set state = 'dismissed', decided_at = :at, decided_by = :by,"
            " because = :because where action = :action and state = 'open'",
            {"action": suggestion, "at": tx.now, "by": by, "because": because},
        )
        == 1
    )


def carry_out(tx: Transaction, suggestion: str, *, by: str, run: str, action: str) -> bool:
    """Use an open one up for an action; `False` if somebody has decided before."""
    return (
        tx.execute(
            "update suggestions set state = 'carried_out', decided_at = :at, decided_by = :by,"
            " carried_run = :run, carried_action = :carried"
            " where action = :action and state = 'open'",
            {"action": suggestion, "at": tx.now, "by": by, "run": run, "carried": action},
        )
        == 1
    )


def list_page(
    tx: Reading, *, states: Sequence[str], team: str, agent: str, before: str, rows: int
) -> list[Row]:
    """Suggestions that fit, newest first, older than `before`."""
    fits = {"team": team, "agent": agent}
    return list_newest(tx, _ALL, "action", fits=fits, states=states, before=before, rows=rows)


def count_open(tx: Reading, team: str) -> int:
    """How many wait for somebody to decide, of those that this incarnation kept."""
    return decisions.count_waiting(tx, "suggestions", "open", team)


def of_actions(tx: Reading, actions: Sequence[str]) -> dict[str, Row]:
    """The suggestion that each of these actions is or carries out, where there is one."""
    return decisions.of_actions(tx, "suggestions", "carried_action", actions)
