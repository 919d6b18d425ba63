"""Blast radius over HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import LIMIT, Cursor, Id, Limit, Page, Shown, StrictRoute, paged
from quarterdeck.domain.people import Caller
from quarterdeck.services.blast_radius import BlastRadii


class FigureShown(Shown):
    """The most of one quantity in one hour; `most` is null where nothing bounds it.

    Amounts are decimal text: they are exact. `would_bound` says what limit is missing.
    """

    quantity: str
    words: str
    most: str | None
    declared: str | None
    asked: bool
    unbounded_by: list[str]
    would_bound: str | None


class LineShown(Shown):
    """One tool: what one call may do, how often it can be made in one hour, and what says so."""

    tool: str
    effect: str
    calls: int | None
    limit: str | None
    taken: bool
    asks: bool
    each: dict[str, str]
    data: list[str]


class BlastRadiusShown(Shown):
    """The most an agent could do in one hour of the clock, beside what it declares."""

    agent: str
    team: str
    autonomy: str
    judgement: Literal["undeclared", "above", "within", "needless"]
    figures: list[FigureShown]
    data: list[str]
    data_declared: list[str] | None
    servers: list[str]
    shared_limit: str | None
    tools: list[LineShown]


def routes(radii: BlastRadii, callers: Callers) -> APIRouter:
    """`/v1/blast-radius` and `/v1/agents/{name}/blast-radius`."""
    router = APIRouter(prefix="/v1", tags=["agents"], route_class=StrictRoute)

    @router.get("/blast-radius", openapi_extra=who("read"))
    async def list_blast_radii(
        *,
        request: Request,
        response: Response,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[BlastRadiusShown]:
        """The most each agent in force could do in one hour."""
        after = cursors.read(cursor)
        rows = await radii.list_all(caller)
        items = [BlastRadiusShown(**r) for r in rows if not after or r["agent"] > after[0]]
        return paged(request, response, items, limit, lambda radius: (radius.agent,))

    @router.get("/agents/{name}/blast-radius", openapi_extra=who("read"))
    async def show_blast_radius(
        *, name: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> BlastRadiusShown:
        """The most one agent could do in one hour, tool by tool."""
        return BlastRadiusShown(**await radii.of(caller, name))

    return router
