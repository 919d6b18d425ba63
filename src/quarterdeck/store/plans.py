"""Rows of plans and their steps. What was asked for exactly is sealed, not here."""

from collections.abc import Sequence
from typing import Any, Final

from quarterdeck.store.database import Reading, Row, Transaction
from quarterdeck.store.pages import list_newest

_PLAN: Final = """
insert into plans (id, run, agent, team, revision, digest, answer, incarnation, made_at)
values (:id, :run, :agent, :team, :revision, :digest, :answer, :incarnation, :made_at)
"""
_STEP: Final = """
insert into plan_steps (plan, number, target, call, idempotency_key, answer, reasons, consequences,
  request)
values (:plan, :number, :target, :call, :idempotency_key, :answer, :reasons, :consequences,
  :request)
"""


def insert(tx: Transaction, plan: dict[str, Any], steps: Sequence[dict[str, Any]]) -> None:
    """Keep a plan that was judged."""
    tx.execute(_PLAN, {**plan, "made_at": tx.now})
    tx.execute_many(_STEP, steps)


def find(tx: Reading, plan: str) -> Row | None:
    """A plan's own row."""
    return tx.row("select * from plans where id = :id", {"id": plan})


def list_steps(tx: Reading, plan: str) -> list[Row]:
    """The steps of a plan in order, each with what became of its action."""
    return list(
        tx.rows(
            "select p.*, a.state, a.cost_nanousd from plan_steps p"
            " left join actions a on a.id = p.action where p.plan = :plan order by p.number",
            {"plan": plan},
        )
    )


def find_plan_of(tx: Reading, action: str) -> str | None:
    """The plan an action is a step of."""
    row = tx.row(
        "select plan from plan_steps where action = :action order by plan limit 1",
        {"action": action},
    )
    return None if row is None else str(row["plan"])


def carried(tx: Transaction, plan: str, actions: Sequence[tuple[int, str]]) -> None:
    """Say which action each step became."""
    tx.execute(
        "update plans set carried_at = coalesce(carried_at, :at) where id = :id",
        {"id": plan, "at": tx.now},
    )
    tx.execute_many(
        "update plan_steps set action = :action where plan = :plan and number = :number",
        [{"plan": plan, "number": number, "action": action} for number, action in actions],
    )


def count_of_run(tx: Reading, run: str) -> int:
    """How many plans a run has made."""
    row = tx.row("select count(*) as found from plans where run = :run", {"run": run})
    assert row is not None, "counting always answers"
    return int(row["found"])


def list_page(tx: Reading, *, run: str, team: str, before: str, rows: int) -> list[Row]:
    """Plans that fit, newest first, older than `before`, each with how many steps it has."""
    select = (
        "select p.*, (select count(*) from plan_steps s where s.plan = p.id) as steps from plans p"
    )
    fits = {"team": team, "run": run}
    return list_newest(tx, select, "id", fits=fits, before=before, rows=rows)


def of_actions(tx: Reading, actions: Sequence[str]) -> dict[str, str]:
    """The plan that each of these actions is a step of, where there is one."""
    if not actions:
        return {}
    params = {f"a{number}": action for number, action in enumerate(actions)}
    names = ", ".join(f":{name}" for name in params)
    sql = f"select action, plan from plan_steps where action in ({names})"  # noqa: S608  numbered parameters
    return {row["action"]: row["plan"] for row in tx.rows(sql, params)}
