"""Agents over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import LIMIT, TEXT, Cursor, Id, Limit, Page, Shown, StrictRoute, paged
from quarterdeck.domain.money import usd
from quarterdeck.domain.people import Caller
from quarterdeck.services.agents import Agents


class FallbackShown(Shown):
    """The vendor entry and model that are asked when the first cannot answer."""

    vendor: str
    model: str


class ModelShown(Shown):
    """A model an agent may use."""

    role: str
    vendor: str
    model: str
    fallback: FallbackShown | None


class CapShown(Shown):
    """A cap; `usd` says an amount of money in USD."""

    unit: str
    per: str
    amount: int
    usd: str | None

    @classmethod
    def of(cls, cap: Mapping[str, Any]) -> "CapShown":
        """From what the service lists."""
        money = usd(cap["amount"]) if cap["unit"] == "nanousd" else None
        return cls(**cap, usd=money)


class AgentShown(Shown):
    """An agent in the list."""

    name: str
    team: str
    owner: str
    purpose: str
    autonomy: str
    critical: bool
    revision: str
    models: list[ModelShown]
    tools: list[str]
    caps: list[CapShown]


class ToolShown(Shown):
    """A tool an agent may call."""

    name: str
    effect: str
    trust: str
    description: str


class AgentDetail(Shown):
    """An agent with its card of permissions."""

    name: str
    team: str
    owner: str
    purpose: str
    autonomy: str
    critical: bool
    revision: str
    models: list[ModelShown]
    tools: list[ToolShown]
    caps: list[CapShown]
    card: str
    card_warning: str | None
    prompt: str


def routes(agents: Agents, callers: Callers) -> APIRouter:
    """`/v1/agents`."""
    router = APIRouter(prefix="/v1/agents", tags=["agents"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def list_agents(
        *,
        request: Request,
        response: Response,
        team: Annotated[
            str, Query(pattern=TEXT, max_length=64, description="Only of this team.")
        ] = "",
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[AgentShown]:
        """Agents in force, by name."""
        after = cursors.read(cursor)
        rows = [r for r in await agents.list_all(caller) if team in ("", r["team"])]
        items = [
            AgentShown(**{**r, "caps": _caps(r["caps"])})
            for r in rows
            if not after or r["name"] > after[0]
        ]
        return paged(request, response, items, limit, lambda agent: (agent.name,))

    @router.get("/{name}", openapi_extra=who("read"))
    async def show_agent(
        *, name: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> AgentDetail:
        """One agent: its card, its models, its tools with their effect classes."""
        row = await agents.show(caller, name)
        return AgentDetail(**{**row, "caps": _caps(row["caps"])})

    return router


def _caps(rows: list[dict[str, object]]) -> list[CapShown]:
    return [CapShown.of(row) for row in rows]
