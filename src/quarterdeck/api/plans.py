"""Plans over HTTP, for reading. Making one is the data plane's `POST /v1/plans`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.actions import ReasonShown
from quarterdeck.api.approvals import ConsequencesShown
from quarterdeck.api.callers import Callers, Identified
from quarterdeck.api.described import who
from quarterdeck.api.wire import (
    LIMIT,
    TEXT,
    Cursor,
    Id,
    Limit,
    Page,
    Shown,
    StrictRoute,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.people import Caller
from quarterdeck.services.plans import Plans

_SAME: Final = ("id", "run", "agent", "team", "revision", "digest", "answer")


class PlanShown(Shown):
    """A plan: valid if nothing of it was denied. `carried_at`: when it was first carried out."""

    id: str
    run: str
    agent: str
    team: str
    revision: str
    digest: str
    answer: str
    made_at: str
    carried_at: str | None
    steps: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "PlanShown":
        """From what the service lists."""
        return cls(**_fields(row), steps=row["steps"])


class PlanStepShown(Shown):
    """One call of a plan: the verdict when it was judged, and what became of it since."""

    number: int
    target: str
    idempotency_key: str
    answer: str
    reasons: list[ReasonShown]
    consequences: ConsequencesShown
    arguments: Any
    action: str | None
    state: str | None
    approval: str | None


class PlanDetail(Shown):
    """A plan with its calls, in order."""

    id: str
    run: str
    agent: str
    team: str
    revision: str
    digest: str
    answer: str
    made_at: str
    carried_at: str | None
    steps: list[PlanStepShown]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "PlanDetail":
        """From what the service shows."""
        return cls(**_fields(row), steps=[PlanStepShown(**step) for step in row["steps"]])


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _SAME},
        "made_at": moment(row["made_at"]),
        "carried_at": time_of(row["carried_at"]),
    }


def routes(plans: Plans, callers: Callers) -> APIRouter:
    """`/v1/plans`."""
    router = APIRouter(prefix="/v1/plans", tags=["plans"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def list_plans(
        *,
        request: Request,
        response: Response,
        run: Annotated[
            str, Query(pattern=TEXT, max_length=64, description="Only of this run.")
        ] = "",
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[PlanShown]:
        """Plans, newest first."""
        rows = await plans.list_page(
            caller, run=run, before=cursors.read_one(cursor), rows=limit + 1
        )
        items = [PlanShown.of(row) for row in rows]
        return paged(request, response, items, limit, lambda plan: (plan.id,))

    @router.get("/{plan}", openapi_extra=who("read", "run"))
    async def show_plan(
        *, plan: Id, identified: Annotated[Identified, Depends(callers.anybody)]
    ) -> PlanDetail:
        """One plan with its calls; a run's credential is good for its own plans."""
        if identified.run is not None:
            return PlanDetail.of(await plans.show_own(identified.run, plan))
        return PlanDetail.of(await plans.show(identified.caller, plan))

    return router
