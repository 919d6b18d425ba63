"""Rows of budgets. The arithmetic is in `domain/budgets.py`; the CHECK on the table repeats it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from quarterdeck.domain.budgets import Budget, Hold
from quarterdeck.domain.fleets import Cap
from quarterdeck.domain.ids import BudgetId
from quarterdeck.store.database import Reading, Row, Transaction

_OPEN: Final = """
insert into budgets (id, cap, held, charged, overrun) values (:id, :cap, 0, 0, 0)
on conflict do nothing
"""
# The condition and the change are one statement, so a cap is exact on both databases. One row at a
# time: a list of ids costs SQLite a table of its own, three times the price of three updates.
_HOLD: Final = """
update budgets set held = held + :amount
where id = :id and (cap is null or held + charged + :amount <= cap)
"""
_SETTLE: Final = """
update budgets set held = held - :held, charged = charged + :charged, overrun = overrun + :overrun
where id = :id
"""
_RECAP: Final = """
update budgets set cap = :cap,
  overrun = case when charged + held > :least + overrun
    then charged + held - :least else overrun end
where id = :id and coalesce(cap, -1) <> coalesce(:cap, -1)
"""
_SELECT: Final = {
    count: "select id, cap, held, charged, overrun from budgets where id in ("  # noqa: S608  fixed
    + ", ".join(f":b{number}" for number in range(count))
    + ")"
    for count in range(1, 33)
}


def _budget(row: Row) -> Budget:
    return Budget(
        id=BudgetId(row["id"]),
        cap=row["cap"],
        held=row["held"],
        charged=row["charged"],
        overrun=row["overrun"],
    )


def list_by_id(tx: Reading, budgets: Sequence[BudgetId]) -> dict[BudgetId, Budget]:
    """The rows there are, by id; at most 32."""
    params = {f"b{n}": budget for n, budget in enumerate(budgets)}
    return {row["id"]: _budget(row) for row in tx.rows(_SELECT[len(budgets)], params)}


def open_windows(tx: Transaction, windows: Mapping[BudgetId, Cap | None]) -> dict[BudgetId, Budget]:
    """The rows of all these windows; those that are not there yet are opened, in order of id."""
    wanted = sorted(windows)
    rows = list_by_id(tx, wanted)
    if len(rows) == len(wanted):
        return rows
    missing = [budget for budget in wanted if budget not in rows]
    tx.execute_many(_OPEN, [{"id": b, "cap": _amount(windows[b])} for b in missing])
    return list_by_id(tx, wanted)


def _amount(cap: Cap | None) -> int | None:
    return None if cap is None else cap.amount


def hold(tx: Transaction, holds: Sequence[Hold]) -> bool:
    """Keep every hold aside if each of its budgets has room; else, or if one is not open, none."""
    for number, one in enumerate(holds):
        if tx.execute(_HOLD, {"id": one.budget, "amount": one.amount}) != 1:
            settle(tx, [(before, 0, 0) for before in holds[:number]])
            return False
    return True


def settle(tx: Transaction, charged: Iterable[tuple[Hold, int, int]]) -> None:
    """Turn holds into charges: (hold, amount charged, amount beyond the hold)."""
    rows = [
        {"id": h.budget, "held": h.amount, "charged": amount, "overrun": overrun}
        for h, amount, overrun in charged
    ]
    if rows:
        tx.execute_many(_SETTLE, rows)


def recap(tx: Transaction, budget: BudgetId, cap: int | None) -> None:
    """Put a new cap on an open window; what already passes a lowered cap becomes overrun."""
    tx.execute(_RECAP, {"id": budget, "cap": cap, "least": 2**62 if cap is None else cap})


def list_open(tx: Reading, scope: str) -> list[Budget]:
    """All windows of a scope such as `agent:triage`, newest first."""
    rows = tx.rows(
        "select * from budgets where id >= :low and id < :high order by id desc",
        {"low": f"{scope}/", "high": f"{scope}0"},
    )
    return [_budget(row) for row in rows]
