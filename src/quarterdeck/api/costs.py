"""Costs and budgets over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import LIMIT, TEXT, Cursor, Limit, Page, Shown, StrictRoute, paged, whole
from quarterdeck.domain.money import usd
from quarterdeck.domain.people import Caller
from quarterdeck.services.costs import Costs

_BY: Final = r"^((day|team|agent|kind|target)(,(day|team|agent|kind|target)){0,9})?$"


class CostShown(Shown):
    """What was charged, under the words it was summed by."""

    day: str | None = None
    team: str | None = None
    agent: str | None = None
    kind: str | None = None
    target: str | None = None
    actions: int
    failed: int
    refused: int
    cost_nanousd: int
    cost_usd: str
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "CostShown":
        """From a row of the summary."""
        groups = ("day", "team", "agent", "kind", "target")
        words = {name: row[name] for name in groups if name in row}
        counted: dict[str, Any] = {n: whole(row[n]) for n in row if n not in groups}
        return cls(**words, **counted, cost_usd=usd(counted["cost_nanousd"]))


class CostsShown(Shown):
    """Charges of some days."""

    by: list[str]
    days: int
    items: list[CostShown]


class BudgetShown(Shown):
    """A window of a cap; amounts are in `unit`, and in `usd` as USD where that is money."""

    id: str
    scope: str
    unit: str
    per: str
    starts: str
    cap: int | None
    charged: int
    held: int
    overrun: int
    room: int | None
    usd: dict[str, str | None] | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "BudgetShown":
        """From what the service lists; the id says the rest."""
        scope, unit, per, starts = row["id"].rsplit("/", 3)
        amounts = {name: row[name] for name in ("cap", "charged", "held", "overrun", "room")}
        money = {name: None if a is None else usd(a) for name, a in amounts.items()}
        said = money if unit == "nanousd" else None
        return cls(
            id=row["id"], scope=scope, unit=unit, per=per, starts=starts, usd=said, **amounts
        )


def routes(costs: Costs, callers: Callers) -> APIRouter:
    """`/v1/costs` and `/v1/budgets`."""
    router = APIRouter(prefix="/v1", tags=["costs"], route_class=StrictRoute)

    @router.get("/costs", openapi_extra=who("read"))
    async def sum_costs(
        *,
        by: Annotated[
            str,
            Query(
                pattern=_BY,
                description="Sum by these, with commas: day, team, agent, kind, target.",
                examples=["agent,day"],
            ),
        ] = "agent",
        days: Annotated[int, Query(ge=1, le=3660, description="How many, today included.")] = 7,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> CostsShown:
        """What was charged in the last days (UTC, today included), summed by day, team, agent…"""
        words = tuple(dict.fromkeys(word for word in by.split(",") if word))
        rows = await costs.summary(caller, by=words, days=days)
        return CostsShown(by=list(words), days=days, items=[CostShown.of(row) for row in rows])

    @router.get("/budgets", openapi_extra=who("read"))
    async def list_budgets(
        *,
        request: Request,
        response: Response,
        scope: Annotated[
            str,
            Query(
                pattern=TEXT,
                max_length=200,
                description="`fleet`, `team:NAME` or `agent:NAME`.",
                examples=["agent:triage"],
            ),
        ],
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[BudgetShown]:
        """The windows of a scope: cap, charged, held, what is left."""
        before = cursors.read(cursor)
        rows = await costs.budgets_of(caller, scope)
        items = [BudgetShown.of(row) for row in rows if not before or row["id"] < before[0]]
        return paged(request, response, items, limit, lambda budget: (budget.id,))

    return router
