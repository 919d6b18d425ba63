"""Agents over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from quarterdeck.api.callers import Callers
from quarterdeck.api.wire import Page, Shown, StrictRoute
from quarterdeck.domain.money import usd
from quarterdeck.domain.people import Caller
from quarterdeck.services.agents import Agents


class ModelShown(Shown):
    """A model an agent may use."""

    role: str
    vendor: str
    model: str


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
    prompt: str


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
