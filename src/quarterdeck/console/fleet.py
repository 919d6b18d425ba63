"""The fleet at a glance: the console's first page, and the search box's answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import Moment, amount, count, line, moment, plural
from quarterdeck.console.views import (
    Badge,
    Cost,
    Link,
    Meter,
    RunRow,
    Tone,
    action_href,
    agent_href,
    approval_href,
    bars,
    money,
    run_href,
    run_row,
    runs_href,
)
from quarterdeck.domain.people import Caller
from quarterdeck.services import Services
from quarterdeck.services.overview import AgentReading, FleetReading, Use, Waiting

RECENT_RUNS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCard:
    """An agent as one line of the fleet."""

    name: str
    href: str
    purpose: str
    team: str
    autonomy: str
    state: Badge
    ready: Badge
    problems: tuple[str, ...]
    running: Link | None
    runs: Link
    failed: Link | None
    refused: Link | None
    spend: Cost
    spend_href: str
    meters: tuple[Meter, ...]
    trend: tuple[Any, ...]
    trend_words: str
    latest: Moment | None
    latest_href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One kind of thing that waits for a person, with the newest of it."""

    title: str
    why: str
    tone: Tone
    items: tuple[Link, ...]
    more: Link | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number that leads to what it is made of."""

    name: str
    text: str
    exact: str
    href: str
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPage:
    """The fleet overview."""

    fleet: str
    version: str
    figures: tuple[Figure, ...]
    needs: tuple[Need, ...]
    agents: tuple[AgentCard, ...]
    meters: tuple[Meter, ...]
    recent: tuple[RunRow, ...]
    runs: str
    first_agent: str
    section: str = "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """What was looked for, and the runs that carry it."""

    words: str
    rows: tuple[RunRow, ...]
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPages:
    """The first page."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/search", self.search, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The fleet at a glance."""
        visit = await self.pages.visit(request)
        caller = visit.caller
        fleet = await self.services.overview.fleet(caller)
        recent = await self.services.search.list_runs(caller, {}, rows=RECENT_RUNS)
        return self.pages.answer(visit, "fleet.html", fleet_page(fleet, recent, visit.now))

    async def search(self, request: Request) -> Response:
        """A run or an action by its id leads there; a correlation id lists its runs."""
        visit = await self.pages.visit(request)
        words = request.query_params.get("q", "").strip()
        found = await self.services.search.look_up(visit.caller, words)
        if found.run:
            return RedirectResponse(run_href(found.run), status_code=303)
        if found.action:
            return RedirectResponse(action_href(found.action), status_code=303)
        if await self._is_agent(visit.caller, words):
            return RedirectResponse(agent_href(words), status_code=303)
        rows = tuple(run_row(run, visit.now) for run in found.runs)
        page = SearchPage(words=line(words, 200), rows=rows)
        return self.pages.answer(visit, "search.html", page, status=200 if rows else 404)

    async def _is_agent(self, caller: Caller, words: str) -> bool:
        agents = await self.services.agents.list_all(caller)
        return any(agent["name"] == words for agent in agents)


def fleet_page(fleet: FleetReading, recent: Sequence[dict[str, Any]], now: datetime) -> FleetPage:
    """Everything the first page shows."""
    return FleetPage(
        fleet=line(fleet.name, 80),
        version=fleet.version[:12],
        figures=_figures(fleet),
        needs=tuple(_needs(fleet)),
        agents=tuple(_card(agent, fleet.today, now) for agent in fleet.agents),
        meters=tuple(meter(use) for use in fleet.uses),
        recent=tuple(run_row(run, now) for run in recent),
        runs=runs_href({}),
        first_agent=line(fleet.agents[0].name, 64) if fleet.agents else "",
    )


def _figures(fleet: FleetReading) -> tuple[Figure, ...]:
    agents, today = fleet.agents, fleet.today
    started = sum(sum(agent.runs_today.values()) for agent in agents)
    spent = amount(sum(agent.today["cost_nanousd"] for agent in agents))
    running = sum(agent.running for agent in agents)
    refused = sum(agent.today["refused"] for agent in agents)
    waiting = fleet.waiting.handoffs + fleet.waiting.in_doubt + fleet.waiting.approvals
    return (
        Figure(
            name="Needs a person", text=f"{waiting:,}", exact="", href="#needs",
            tone="warn" if waiting else "",
        ),
        Figure(
            name="Running now", text=f"{running:,}", exact="", href=runs_href({"state": "running"})
        ),
        Figure(
            name="Runs today", text=count(started), exact=f"{started:,}",
            href=runs_href({"day": today}),
        ),
        Figure(
            name="Refused today", text=count(refused), exact=f"{refused:,}",
            href=runs_href({"day": today, "with": "refused"}),
        ),
        Figure(name="Spent today", text=spent.text, exact=spent.exact, href="/console/costs"),
    )  # fmt: skip


def _card(agent: AgentReading, today: str, now: datetime) -> AgentCard:
    runs = sum(agent.runs_today.values())
    failed = agent.runs_today.get("failed", 0)
    own = {"agent": agent.name}
    return AgentCard(
        name=line(agent.name, 64),
        href=agent_href(agent.name),
        purpose=line(agent.purpose, 160),
        team=line(agent.team, 64),
        autonomy=agent.autonomy,
        state=state_of(agent),
        ready=readiness_of(agent),
        problems=tuple(line(problem, 160) for problem in agent.problems),
        running=Link(
            text=f"{agent.running:,}", href=runs_href({**own, "state": "running"}), tone="busy"
        )
        if agent.running
        else None,
        runs=Link(text=f"{runs:,}", href=runs_href({**own, "day": today})),
        failed=Link(
            text=f"{failed:,}",
            href=runs_href({**own, "day": today, "state": "failed"}),
            tone="bad",
        )
        if failed
        else None,
        refused=Link(
            text=f"{agent.today['refused']:,}",
            href=runs_href({**own, "day": today, "with": "refused"}),
            tone="bad",
        )
        if agent.today["refused"]
        else None,
        spend=money(agent.today["cost_nanousd"]),
        spend_href=runs_href({**own, "day": today}),
        meters=tuple(meter(use) for use in agent.uses),
        trend=bars(agent.trend, height=24, width=5, gap=2),
        trend_words=f"{amount(sum(agent.trend)).text} in {len(agent.trend)} days",
        latest=None if agent.latest is None else moment(agent.latest["started_at"], now),
        latest_href="" if agent.latest is None else run_href(agent.latest["id"]),
    )


def state_of(agent: AgentReading) -> Badge:
    """What an agent is doing."""
    if agent.frozen:
        return Badge(text="frozen", tone="bad")
    return Badge(text="running", tone="busy") if agent.running else Badge(text="idle", tone="calm")


def readiness_of(agent: AgentReading) -> Badge:
    """Whether it could do its work now."""
    if agent.problems:
        return Badge(text="not ready", tone="bad")
    return Badge(text="ready", tone="good")


def meter(use: Use) -> Meter:
    """A cap as a bar, full in a thousand parts."""
    part = 1000 if not use.cap else min(1000, use.used * 1000 // use.cap)
    tone: Tone = "bad" if part >= 1000 else "warn" if part >= 800 else "good"
    return Meter(
        name=f"{use.scope} · a {use.period}"
        if not use.scope.startswith("agent:")
        else f"a {use.period}",
        used=_in_unit(use.charged, use.unit),
        used_exact=amount(use.charged).exact if use.unit == "nanousd" else f"{use.charged:,}",
        cap=_in_unit(use.cap, use.unit),
        held=_in_unit(use.held, use.unit) if use.held else "",
        part=part,
        tone=tone,
    )


def _in_unit(number: int, unit: str) -> str:
    return amount(number).text if unit == "nanousd" else f"{count(number)} {unit}"


def _needs(fleet: FleetReading) -> list[Need]:
    waiting, needs = fleet.waiting, list[Need]()
    if waiting.handoffs:
        needs.append(_handoffs(waiting))
    if waiting.in_doubt:
        needs.append(
            _by_run(
                waiting.in_doubt_newest, waiting.in_doubt, "in doubt", "in_doubt",
                "Nobody can say yet whether the effect took place; any money for it stays held.",
            )
        )  # fmt: skip
    if waiting.approvals:
        needs.append(_asked(waiting))
    if waiting.suggestions:
        needs.append(
            Need(
                title=f"{plural(waiting.suggestions, 'suggestion')} to look at",
                why="Writes that agents would have made; nothing was done.",
                tone="calm",
                items=(),
                more=Link(text="Look at them", href="/console/suggestions"),
            )
        )
    unready = [agent for agent in fleet.agents if agent.problems]
    if unready:
        items = tuple(
            Link(text=f"{agent.name}: {'; '.join(agent.problems)}", href=agent_href(agent.name))
            for agent in unready[:5]
        )
        title = f"{plural(len(unready), 'agent')} not ready"
        needs.append(
            Need(title=title, why="What they try fails.", tone="bad", items=items, more=None)
        )
    return needs


def _asked(waiting: Waiting) -> Need:
    items = tuple(
        Link(
            text=f"{line(asked['agent'], 64)}: {line(asked['target'], 80)}",
            href=approval_href(asked["id"]),
        )
        for asked in waiting.approvals_newest
    )
    more = None
    if waiting.approvals > len(items):
        more = Link(text=f"All {waiting.approvals:,}", href="/console/approvals")
    why = "The rules ask for a person's approval; nothing was done."
    title = f"{plural(waiting.approvals, 'call')} to approve or deny"
    return Need(title=title, why=why, tone="warn", items=items, more=more)


def _handoffs(waiting: Waiting) -> Need:
    items = tuple(
        Link(
            text=f"{line(case['agent'], 64)}: {line(case['because'], 110) or 'handed over'}",
            href=run_href(case["run"]),
        )
        for case in waiting.handoffs_newest
    )
    more = None
    if waiting.handoffs > len(items):
        more = Link(text=f"All {waiting.handoffs:,}", href=runs_href({"state": "escalated"}))
    title = f"{plural(waiting.handoffs, 'case')} handed to a person"
    why = "The agent stopped and wants somebody to decide."
    return Need(title=title, why=why, tone="warn", items=items, more=more)


def _by_run(newest: Sequence[dict[str, Any]], found: int, words: str, state: str, why: str) -> Need:
    items = tuple(
        Link(text=f"{line(a['agent'], 64)}: {line(a['target'], 80)}", href=action_href(a["id"]))
        for a in newest
    )
    more = None
    if found > len(items):
        more = Link(text=f"Runs with all {found:,}", href=runs_href({"with": state}))
    title = f"{plural(found, 'action')} {words}"
    return Need(title=title, why=why, tone="warn", items=items, more=more)
