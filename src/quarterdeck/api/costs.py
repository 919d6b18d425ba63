"""Costs and budgets over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from quarterdeck.api.callers import Callers
from quarterdeck.api.shown import BudgetShown, CostShown, CostsShown
from quarterdeck.api.wire import Page, StrictRoute
from quarterdeck.domain.people import Caller
from quarterdeck.services.costs import Costs


def routes(costs: Costs, callers: Callers) -> APIRouter:
    """`/v1/costs` and `/v1/budgets`."""
    router = APIRouter(prefix="/v1", tags=["costs"], route_class=StrictRoute)

    @router.get("/costs")
    async def sum_costs(
        *,
        by: Annotated[str, Query(max_length=64, description="such as `agent,day`")] = "agent",
        days: Annotated[int, Query(ge=1, le=3660)] = 7,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> CostsShown:
        """What was charged in the last days (UTC, today included), summed by day, team, agent…"""
        words = tuple(dict.fromkeys(w for word in by.split(",") if (w := word.strip())))
        rows = await costs.summary(caller, by=words, days=days)
        return CostsShown(by=list(words), days=days, items=[CostShown.of(row) for row in rows])

    @router.get("/budgets")
    async def list_budgets(
        *,
        scope: Annotated[str, Query(max_length=200, description="such as `agent:triage`")],
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[BudgetShown]:
        """The windows of a scope: cap, charged, held, what is left."""
        rows = await costs.budgets_of(caller, scope)
        return Page(items=[BudgetShown.of(row) for row in rows])

    return router
