"""Agents over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends

from quarterdeck.api.callers import Callers
from quarterdeck.api.shown import AgentDetail, AgentShown, CapShown
from quarterdeck.api.wire import Page, StrictRoute
from quarterdeck.domain.people import Caller
from quarterdeck.services.agents import Agents


def routes(agents: Agents, callers: Callers) -> APIRouter:
    """`/v1/agents`."""
    router = APIRouter(prefix="/v1/agents", tags=["agents"], route_class=StrictRoute)

    @router.get("")
    async def list_agents(
        *, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> Page[AgentShown]:
        """Agents in force, by name."""
        rows = await agents.list_all(caller)
        return Page(items=[AgentShown(**{**r, "caps": _caps(r["caps"])}) for r in rows])

    @router.get("/{name}")
    async def show_agent(
        *, name: str, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> AgentDetail:
        """One agent: its card, its models, its tools with their effect classes."""
        row = await agents.show(caller, name)
        return AgentDetail(**{**row, "caps": _caps(row["caps"])})

    return router


def _caps(rows: list[dict[str, object]]) -> list[CapShown]:
    return [CapShown.of(row) for row in rows]
