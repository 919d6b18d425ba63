"""One agent: its card of permissions, what of its caps is used, its revisions, runs and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console.blast_radius import RadiusRows, radius_rows
from quarterdeck.console.fleet import Figure, meter, readiness_of, state_of
from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import Moment, amount, line, moment
from quarterdeck.console.views import (
    Badge,
    Meter,
    RunRow,
    Tone,
    actions_href,
    run_row,
    runs_href,
)
from quarterdeck.domain.money import NANOUSD_PER_USD
from quarterdeck.services import Services
from quarterdeck.services.overview import AgentPageReading, Revision

RECENT_RUNS: Final = 15
_EFFECTS: Final[dict[str, tuple[str, Tone]]] = {
    "read": ("reads", "good"),
    "egress": ("sends out", "warn"),
    "draft": ("drafts", "good"),
    "write": ("writes", "warn"),
    "privileged": ("privileged", "bad"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model the agent may ask."""

    role: str
    model: str
    vendor: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """A tool the agent may use, and what using it does."""

    name: str
    effect: Badge
    trust: str
    description: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRow:
    """A revision, and what it changed."""

    hash: str
    applied: Moment
    applied_by: str
    changes: tuple[str, ...]
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPage:
    """One agent."""

    name: str
    purpose: str
    team: str
    team_href: str
    owner: str
    autonomy: str
    revision: str
    critical: bool
    state: Badge
    ready: Badge
    problems: tuple[str, ...]
    card: str
    card_warning: str
    radius: RadiusRows
    figures: tuple[Figure, ...]
    models: tuple[ModelRow, ...]
    tools: tuple[ToolRow, ...]
    meters: tuple[Meter, ...]
    revisions: tuple[RevisionRow, ...]
    runs: tuple[RunRow, ...]
    all_runs: str
    plot: str
    section: str = "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPages:
    """The pages of agents."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/agents/{agent}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """One agent."""
        visit = await self.pages.visit(request)
        caller, name = visit.caller, request.path_params["agent"]
        reading = await self.services.overview.agent(caller, name)
        runs = await self.services.search.list_runs(
            caller, {"agent": reading.agent.name}, rows=RECENT_RUNS
        )
        return self.pages.answer(visit, "agent.html", agent_page(reading, runs, visit.now))


def agent_page(
    reading: AgentPageReading, runs: Sequence[Mapping[str, Any]], now: datetime
) -> AgentPage:
    """Everything an agent's page shows."""
    agent, binding = reading.agent, reading.binding
    fleet, own = binding.fleet, {"agent": agent.name}
    return AgentPage(
        name=line(agent.name, 64),
        purpose=line(agent.purpose, 300),
        team=line(agent.team, 64),
        team_href=runs_href({"team": agent.team}),
        owner=line(agent.owner, 80),
        autonomy=agent.autonomy,
        revision=agent.revision,
        critical=binding.agent.critical,
        state=state_of(agent),
        ready=readiness_of(agent),
        problems=tuple(line(problem, 200) for problem in agent.problems),
        card=line(reading.card.text, 8_000),
        card_warning=line(reading.card.warning or "", 300),
        radius=radius_rows(binding),
        figures=_figures(reading),
        models=tuple(
            ModelRow(
                role=line(model.role, 40),
                model=line(model.model, 100),
                vendor=line(model.vendor, 60),
                href=actions_href({"target": f"{model.vendor}/{model.model}", **own}),
            )
            for model in binding.agent.models
        ),
        tools=tuple(_tool(fleet.tools[name], own) for name in binding.agent.tools),
        meters=tuple(meter(use) for use in agent.uses),
        revisions=tuple(_revision(r, agent.revision, now) for r in reading.revisions),
        runs=tuple(run_row(run, now) for run in runs),
        all_runs=runs_href(own),
        plot=plot_of(
            reading.days,
            [(agent.name, list(agent.trend))],
            {d: runs_href({**own, "day": d}) for d in reading.days},
        ),
    )


def _figures(reading: AgentPageReading) -> tuple[Figure, ...]:
    agent, today = reading.agent, reading.days[-1]
    own = {"agent": agent.name}
    runs = sum(agent.runs_today.values())
    spent, lately = amount(agent.today["cost_nanousd"]), amount(sum(agent.trend))
    return (
        Figure(
            name="Running now", text=f"{agent.running:,}", exact="",
            href=runs_href({**own, "state": "running"}),
        ),
        Figure(
            name="Runs today", text=f"{runs:,}", exact="", href=runs_href({**own, "day": today})
        ),
        Figure(
            name="Refused today", text=f"{agent.today['refused']:,}", exact="",
            href=runs_href({**own, "day": today, "with": "refused"}),
        ),
        Figure(
            name="Spent today", text=spent.text, exact=spent.exact,
            href=runs_href({**own, "day": today}),
        ),
        Figure(
            name=f"Spent in {len(agent.trend)} days", text=lately.text, exact=lately.exact,
            href=runs_href({**own, "since": reading.days[0]}),
        ),
    )  # fmt: skip


def _tool(tool: Any, own: Mapping[str, str]) -> ToolRow:
    words, tone = _EFFECTS.get(tool.effect, (tool.effect, "calm"))
    return ToolRow(
        name=line(tool.name, 64),
        effect=Badge(text=words, tone=tone),
        trust=tool.trust,
        description=line(tool.description, 200),
        href=actions_href({"target": tool.name, **own}),
    )


def _revision(revision: Revision, current: str, now: datetime) -> RevisionRow:
    return RevisionRow(
        hash=revision.hash,
        applied=moment(revision.applied_at, now),
        applied_by=line(revision.applied_by, 80),
        changes=tuple(line(change, 400) for change in revision.changes),
        current=revision.hash == current,
    )


def plot_of(
    days: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], hrefs: Mapping[str, str]
) -> str:
    """A plot's data for the script: days, one line of dollars a series, where a day leads."""
    return orjson.dumps(
        {
            "days": list(days),
            "series": [
                {"name": line(name, 64), "values": [v / NANOUSD_PER_USD for v in values]}
                for name, values in series
            ],
            "hrefs": [hrefs.get(day, "") for day in days],
        }
    ).decode()
