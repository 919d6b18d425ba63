"""Rows of suggestions: writes that were not made, and what a person did about each."""

from collections.abc import Sequence
from typing import Any, Final

from quarterdeck.store import decisions, standing
from quarterdeck.store.database import Reading, Row, Transaction
from quarterdeck.store.pages import list_newest

_INSERT: Final = """
insert into suggestions (action, run, agent, team, revision, target, call, consequences,
  incarnation, state, made_at)
values (:action, :run, :agent, :team, :revision, :target, :call, :consequences, :incarnation,
  'open', :made_at)
"""
_ALL: Final = "select * from suggestions"
_OPEN_CALLS: Final = "select distinct agent, target from suggestions where state = 'open'"
_BY_ACTION: Final = "select * from suggestions where action = :action"
_CARRIED: Final = """
select * from suggestions where carried_action = :action and state = 'carried_out'
"""


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


def reopen(tx: Transaction, action: str) -> str | None:
    """Open the one that an action was to carry out again; which that was."""
    row = tx.locked_row(_CARRIED, {"action": action})
    if row is None:
        return None
    tx.execute(
        "update suggestions set state = 'open', decided_at = null, decided_by = null,"
        " carried_run = null, carried_action = null where action = :action",
        {"action": row["action"]},
    )
    return str(row["action"])


def list_page(
    tx: Reading, *, states: Sequence[str], team: str, agent: str, before: str, rows: int
) -> list[Row]:
    """Suggestions that fit, newest first, older than `before`."""
    fits = {"team": team, "agent": agent}
    return list_newest(tx, _ALL, "action", fits=fits, states=states, before=before, rows=rows)


def list_open(
    tx: Reading,
    *,
    void: Sequence[tuple[str, str]],
    team: str,
    agent: str,
    before: str,
    rows: int,
) -> list[Row]:
    """Those that somebody can carry out, newest first: of this incarnation, and none of `void`."""
    return list_newest(
        tx,
        _ALL,
        "action",
        fits={"team": team, "agent": agent, "incarnation": standing.get(tx).incarnation},
        states=("open",),
        but=[{"agent": agent, "target": tool} for agent, tool in void],
        before=before,
        rows=rows,
    )


def list_open_calls(tx: Reading) -> list[tuple[str, str]]:
    """Each agent and tool that an undecided suggestion is of."""
    return [(row["agent"], row["target"]) for row in tx.rows(_OPEN_CALLS)]


def count_open(tx: Reading, team: str, void: Sequence[tuple[str, str]] = ()) -> int:
    """How many somebody can carry out: of this incarnation, and none of `void`."""
    params = {"team": team}
    apart = ""
    for number, (agent, tool) in enumerate(void):
        params |= {f"agent_{number}": agent, f"tool_{number}": tool}
        apart += f" and not (c.agent = :agent_{number} and c.target = :tool_{number})"
    return decisions.count_waiting(tx, "suggestions", "open", params, apart)


def of_actions(tx: Reading, actions: Sequence[str]) -> dict[str, Row]:
    """The suggestion that each of these actions is or carries out, where there is one."""
    return decisions.of_actions(tx, "suggestions", "carried_action", actions)
