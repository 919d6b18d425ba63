"""Rows of budgets. The arithmetic is in `domain/budgets.py`; the CHECK on the table repeats it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from quarterdeck.domain.budgets import Budget, Hold
from quarterdeck.domain.fleets import Cap
from quarterdeck.domain.ids import BudgetId
from quarterdeck.store.database import Need, Reading, Row, Transaction

_OPEN: Final = """
insert into budgets (id, cap, held, charged, overrun) values (:id, :cap, 0, 0, 0)
on conflict do nothing
"""
# A group's writes read each row once, locked, and queue its new state: the row is written once.
_ROW: Final = "select id, cap, held, charged, overrun from budgets where id = :id"
_SET: Final = """
update budgets set held = :held, charged = :charged, overrun = :overrun where id = :id
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


# Where the windows of rates begin and end among the ids; a window's start ends its id, so that the
# starts of one period compare as text. What is still held will be settled on its row.
_RATES_OVER: Final = """
from budgets where id >= 'tool:' and id < 'tool;' and held = 0 and (
  (id like '%/minute/%' and substr(id, length(id) - 15) < :minute)
  or (id like '%/hour/%' and substr(id, length(id) - 12) < :hour)
  or (id like '%/day/%' and substr(id, length(id) - 9) < :day))
"""


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


def look_again(tx: Transaction, windows: Mapping[BudgetId, Cap | None]) -> None:
    """Forget what was fetched of these windows, some of which were not there yet."""
    tx.execute_many(_OPEN, [{"id": b, "cap": _amount(windows[b])} for b in sorted(windows)])


def _amount(cap: Cap | None) -> int | None:
    return None if cap is None else cap.amount


def need(budget: BudgetId) -> Need:
    """The row of a window, for a write that holds or settles on it."""
    return Need(_ROW, "id", budget, locked=True)


def hold(tx: Transaction, holds: Sequence[Hold]) -> bool:
    """Keep every hold aside if each of its budgets has room; else, or if one is not open, none."""
    changed = []
    for one in holds:
        row = _state(tx, one.budget)
        if row is None:
            return False
        held = row["held"] + one.amount
        if row["cap"] is not None and held + row["charged"] > row["cap"]:
            return False
        changed.append({**row, "held": held})
    for one, row in zip(holds, changed, strict=True):
        tx.later(_SET, row, key=one.budget)
    return True


def settle(tx: Transaction, charged: Iterable[tuple[Hold, int, int]]) -> None:
    """Turn holds into charges: (hold, amount charged, amount beyond the hold)."""
    for hold, amount, overrun in charged:
        row = _state(tx, hold.budget)
        assert row is not None, "what is held was opened"
        after = {
            "id": row["id"],
            "cap": row["cap"],
            "held": row["held"] - hold.amount,
            "charged": row["charged"] + amount,
            "overrun": row["overrun"] + overrun,
        }
        tx.later(_SET, after, key=hold.budget)


def _state(tx: Transaction, budget: BudgetId) -> Row | None:
    """A budget as this group has left it so far."""
    return tx.queued(_SET, budget) or tx.locked_row(_ROW, {"id": budget}, about=budget)


def recap(tx: Transaction, budget: BudgetId, cap: int | None) -> None:
    """Put a new cap on an open window; what already passes a lowered cap becomes overrun."""
    tx.execute(_RECAP, {"id": budget, "cap": cap, "least": 2**62 if cap is None else cap})


def has_rates_over(tx: Reading, before: Mapping[str, str]) -> bool:
    """Whether there are windows of rates that began before these starts, by period."""
    return tx.row(f"select 1 as found {_RATES_OVER} limit 1", before) is not None


def forget_rates(tx: Transaction, before: Mapping[str, str]) -> int:
    """Forget windows of rates that nothing is held on any more; how many."""
    return tx.execute(f"delete {_RATES_OVER}", before)


def list_open(tx: Reading, scope: str) -> list[Budget]:
    """All windows of a scope such as `agent:triage`, newest first."""
    rows = tx.rows(
        "select * from budgets where id >= :low and id < :high order by id desc",
        {"low": f"{scope}/", "high": f"{scope}0"},
    )
    return [_budget(row) for row in rows]
