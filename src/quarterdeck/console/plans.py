"""Plans: what agents meant to do, what the rules said of each call, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console import messages
from quarterdeck.console.decisions import summary_of
from quarterdeck.console.messages import Field
from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import Moment, Quote, line, moment, plural
from quarterdeck.console.steps import ACTION_STATES, ANSWERS, Rule, rules_of
from quarterdeck.console.views import (
    Badge,
    Link,
    Tone,
    action_href,
    agent_href,
    approval_href,
    badge,
    command,
    plan_href,
    run_href,
    whole,
)
from quarterdeck.console.waiting import ROWS_ASKED, AskedRow, Wanted, waiting_page
from quarterdeck.services import Services

STATES: Final[dict[str, Tone]] = {"valid": "good", "invalid": "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """One call of a plan."""

    number: str
    target: str
    verdict: Badge
    became: Badge
    summary: str
    fields: tuple[Field, ...]
    quoted: Quote
    rules: tuple[Rule, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPage:
    """One plan."""

    id: str
    state: Badge
    agent: Link
    run: Link
    made: Moment
    carried: Moment | None
    digest: str
    calls: tuple[PlannedCall, ...]
    section: str = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPages:
    """The pages of plans."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/plans", self.list_page, methods=["GET"]),
            Route("/plans/{plan}", self.show, methods=["GET"]),
        ]

    async def list_page(self, request: Request) -> Response:
        """Plans, newest first."""
        visit = await self.pages.visit(request)
        wanted = Wanted.of(request, "/plans", waiting="")
        found = await self.services.plans.list_page(
            visit.caller, before=wanted.before, rows=ROWS_ASKED
        )
        page = waiting_page("Plans", wanted, found, [_row(plan, visit.now) for plan in found])
        return self.pages.answer(visit, "waiting.html", page)

    async def show(self, request: Request) -> Response:
        """One plan with its calls."""
        visit = await self.pages.visit(request)
        shown = await self.services.plans.show(visit.caller, request.path_params["plan"])
        return self.pages.answer(visit, "plan.html", plan_page(shown, visit.now))


def _row(plan: Mapping[str, Any], now: datetime) -> AskedRow:
    carried = plan["carried_at"]
    return AskedRow(
        id=plan["id"],
        href=plan_href(plan["id"]),
        state=badge(plan["answer"], STATES),
        target=plural(plan["steps"], "call"),
        summary="not carried out" if carried is None else "carried out",
        agent=line(plan["agent"], 64),
        agent_href=agent_href(plan["agent"]),
        run_href=run_href(plan["run"]),
        at=moment(plan["made_at"], now),
        decided="the rules",
    )


def plan_page(shown: Mapping[str, Any], now: datetime) -> PlanPage:
    """One plan."""
    see = command("plans", "show", shown["id"], "--json")
    carried = shown["carried_at"]
    return PlanPage(
        id=shown["id"],
        state=badge(shown["answer"], STATES),
        agent=Link(text=line(shown["agent"], 64), href=agent_href(shown["agent"])),
        run=Link(text=shown["run"], href=run_href(shown["run"])),
        made=moment(shown["made_at"], now),
        carried=None if carried is None else moment(carried, now),
        digest=shown["digest"],
        calls=tuple(_call(step, see) for step in shown["steps"]),
    )


def _call(step: Mapping[str, Any], see: str) -> PlannedCall:
    links = []
    if step["action"]:
        links.append(Link(text="action", href=action_href(step["action"])))
    if step["approval"]:
        links.append(Link(text="approval", href=approval_href(step["approval"])))
    return PlannedCall(
        number=str(step["number"]),
        target=line(step["target"], 120),
        verdict=badge(step["answer"], ANSWERS),
        became=badge(step["state"] or "not_attempted", ACTION_STATES),
        summary=summary_of(step["consequences"]),
        fields=messages.fields_of(step["arguments"]),
        quoted=whole(step["arguments"], see),
        rules=() if step["answer"] == "allow" else rules_of(step["reasons"]),
        links=tuple(links),
    )
