"""Budgets: what may be spent, what is held for actions under way, what was charged. Arithmetic.

INVARIANT (I-3): an admission never takes charged + held above a cap. Charged alone may pass it, by
an overrun only (billed above the bound, or the cap was lowered), recorded with its cause; nothing
more is then admitted. The same rule is a CHECK on the table.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from quarterdeck.domain.fleets import BudgetUnit, Cap, Period
from quarterdeck.domain.ids import BudgetId
from quarterdeck.domain.tools import Rate

_LENGTHS: Final[Mapping[str, timedelta]] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The most an action may use: nano-USD, tokens, calls."""

    nanousd: int
    tokens: int
    calls: int = 1

    def of(self, unit: BudgetUnit) -> int:
        """The bound in one unit."""
        amount: int = getattr(self, unit)  # the units are its fields
        return amount


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one cap: who it is for, what is left."""

    id: BudgetId
    cap: int | None
    held: int
    charged: int
    overrun: int

    def room(self) -> int | None:
        """What may still be held; `None` means there is no cap."""
        return None if self.cap is None else max(0, self.cap - self.held - self.charged)


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An amount kept aside on one budget for one action."""

    budget: BudgetId
    unit: BudgetUnit
    amount: int


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """All holds of one action, and the process that owns them."""

    holds: tuple[Hold, ...]
    owner: str


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """The budget that has too little room, and by how much."""

    budget: BudgetId
    wanted: int
    held: int
    charged: int
    cap: int


def window_start(period: Period, now: datetime) -> str:
    """When the window that `now` (UTC) falls in began: a date, with the hour of shorter ones."""
    if period == "minute":
        return f"{now:%Y-%m-%dT%H:%M}"
    if period == "hour":
        return f"{now:%Y-%m-%dT%H}"
    day = now.date()
    if period == "week":
        day -= timedelta(days=day.weekday())
    elif period == "month":
        day = day.replace(day=1)
    return day.isoformat()


def rate_windows(
    tool: str, agent: str, rates: Iterable[Rate], now: datetime
) -> dict[BudgetId, Cap | None]:
    """The windows in which an agent's calls of one tool are counted: rates are budgets of calls."""
    return {
        budget_id(f"tool:{tool}@{agent}", "calls", rate.per, now): Cap(
            unit="calls", period=rate.per, amount=rate.calls
        )
        for rate in rates
    }


def counts_rate(budget: BudgetId) -> bool:
    """Whether a budget is a window of a rate, which its id says."""
    return budget.startswith("tool:")


def rate_end(budget: BudgetId) -> datetime:
    """When the window of a rate ends (UTC)."""
    _, _, period, since = budget.split("/")
    return datetime.fromisoformat(since).replace(tzinfo=UTC) + _LENGTHS[period]


def budget_id(scope: str, unit: BudgetUnit, period: Period, now: datetime) -> BudgetId:
    """A budget's id says what it is: `agent:triage/nanousd/day/2026-11-21`."""
    return BudgetId(f"{scope}/{unit}/{period}/{window_start(period, now)}")


def windows(caps: Mapping[str, tuple[Cap, ...]], now: datetime) -> dict[BudgetId, Cap | None]:
    """The budgets an action touches: each scope's money of the day, capped or not, and each cap."""
    found: dict[BudgetId, Cap | None] = {}
    for scope, scope_caps in caps.items():
        found[budget_id(scope, "nanousd", "day", now)] = None
        for cap in scope_caps:
            found[budget_id(scope, cap.unit, cap.period, now)] = cap
    return found


def holds_of(budgets: Iterable[BudgetId], bound: Bound) -> tuple[Hold, ...]:
    """What to hold on each budget, ordered by id: the order in which rows are locked."""
    units = [(budget, unit_of(budget)) for budget in sorted(budgets)]
    return tuple([Hold(budget=b, unit=unit, amount=bound.of(unit)) for b, unit in units])


@lru_cache(maxsize=4096)
def unit_of(budget: BudgetId) -> BudgetUnit:
    """The unit a budget counts in, which its id says."""
    unit: BudgetUnit = budget.split("/")[1]  # type: ignore[assignment]  # ids are made above
    return unit


def reserve(
    rows: Mapping[BudgetId, Budget], holds: tuple[Hold, ...], owner: str
) -> Reservation | Shortfall:
    """Whether every budget has room; all or nothing."""
    for hold in holds:
        row = rows[hold.budget]
        room = row.room()
        if room is not None and hold.amount > room:
            assert row.cap is not None
            return Shortfall(
                budget=row.id, wanted=hold.amount, held=row.held, charged=row.charged, cap=row.cap
            )
    return Reservation(holds=holds, owner=owner)


def charges(reservation: Reservation, used: Bound) -> tuple[tuple[Hold, int, int], ...]:
    """For each hold: the amount to charge, and by how much that overran the hold."""
    settled = []
    for hold in reservation.holds:
        amount = used.of(hold.unit)
        settled.append((hold, amount, max(0, amount - hold.amount)))
    return tuple(settled)
