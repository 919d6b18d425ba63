"""Runs in the console: the list, and one run with its actions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console.actions import action_row
from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import amount, duration, line, moment
from quarterdeck.console.views import (
    RUN_STATES,
    Choice,
    Cost,
    Doubts,
    RunLink,
    RunPage,
    RunRow,
    RunsPage,
    badge,
    command,
    run_href,
    runs_href,
    whole,
)
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX
from quarterdeck.domain.people import Caller
from quarterdeck.services import Services

ACTIONS_SHOWN_MAX: Final = 100
DOUBTFUL_SHOWN_MAX: Final = 5  # runs named above the list; each says so in its own line too


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPages:
    """The pages of runs."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/", self.list_page, methods=["GET"]),
            Route("/runs/{run}", self.show, methods=["GET"]),
        ]

    async def list_page(self, request: Request) -> Response:
        """Runs, newest first, filtered by agent and state."""
        caller = self.pages.signed_in(request).caller
        asked = request.query_params
        filters = {name: asked[name] for name in ("agent", "state") if asked.get(name)}
        if filters.get("state", "running") not in RUN_STATES:
            raise Invalid(
                f"`{filters['state']}` is not a state of a run",
                hint=f"use one of {', '.join(RUN_STATES)}",
            )
        before = asked.get("before", "")
        # One row more than is shown tells whether there are older ones.
        found = await self.services.runs.list_page(
            caller, filters, before=before, rows=PAGE_ROWS_DEFAULT + 1
        )
        agents = [agent["name"] for agent in await self.services.agents.list_all(caller)]
        doubts = await self._doubts(caller)
        page = runs_page(
            found,
            doubts,
            agents=agents,
            filters=filters,
            before=before,
            now=self.pages.sessions.clock.now(),
        )
        return self.pages.answer(request, "runs.html", page)

    async def show(self, request: Request) -> Response:
        """One run with a page of its actions."""
        caller = self.pages.signed_in(request).caller
        run = await self.services.runs.show(caller, request.path_params["run"])
        after = request.query_params.get("after", "")
        actions = await self.services.actions.list_of_run(
            caller, run["id"], after=after, rows=ACTIONS_SHOWN_MAX + 1
        )
        page = run_page(
            run,
            actions[:ACTIONS_SHOWN_MAX],
            await self._doubts(caller),
            now=self.pages.sessions.clock.now(),
            after=after,
            more=len(actions) > ACTIONS_SHOWN_MAX,
        )
        return self.pages.answer(request, "run.html", page)

    async def _doubts(self, caller: Caller) -> Doubts:
        found = await self.services.actions.list_in_doubt(caller, PAGE_ROWS_MAX)
        counted = Counter(action["run"] for action in found)
        return Doubts(by_run=counted, whole=len(found) < PAGE_ROWS_MAX)


def runs_page(
    found: Sequence[Mapping[str, Any]],
    doubts: Doubts,
    *,
    agents: Sequence[str],
    filters: Mapping[str, str],
    before: str,
    now: datetime,
) -> RunsPage:
    """The list of runs; a row beyond the page only says that there are older ones."""
    shown = found[:PAGE_ROWS_DEFAULT]
    agent, state = filters.get("agent", ""), filters.get("state", "")
    # A run's agent may have left the fleet: what is filtered by stays a choice.
    names = sorted({*agents, agent} - {""})
    in_doubt = sum(doubts.by_run.values())
    return RunsPage(
        rows=tuple(run_row(run, doubts, now) for run in shown),
        agents=tuple(Choice(value=n, text=line(n, 64), chosen=n == agent) for n in names),
        states=tuple(Choice(value=s, text=s, chosen=s == state) for s in RUN_STATES),
        filtered=bool(filters),
        older=runs_href(filters, shown[-1]["id"]) if len(found) > len(shown) else "",
        newest=runs_href(filters) if before else "",
        first_agent=line(agents[0], 64) if agents else "",
        doubt=_doubt(in_doubt, doubts),
        doubtful=tuple(
            RunLink(id=run, href=run_href(run))
            for run in sorted(doubts.by_run, reverse=True)[:DOUBTFUL_SHOWN_MAX]
        ),
    )


def _doubt(count: int, doubts: Doubts) -> str:
    if not count:
        return ""
    least = "" if doubts.whole else "At least "
    noun = "action is" if count == 1 else "actions are"
    return f"{least}{count:,} {noun} in doubt"


def run_row(run: Mapping[str, Any], doubts: Doubts, now: datetime) -> RunRow:
    """A run as one line."""
    ended = run["ended_at"]
    until = int(now.timestamp() * 1_000_000) if ended is None else ended
    return RunRow(
        id=run["id"],
        href=run_href(run["id"]),
        state=badge(run["state"], RUN_STATES),
        agent=line(run["agent"]),
        started=moment(run["started_at"], now),
        duration=duration(run["started_at"], until),
        duration_note="so far" if ended is None else "",
        actions=f"{run['actions']:,}",
        cost=_cost_of_run(run),
        refused=str(run["refused"] or ""),
        in_doubt=doubts.of(run),
    )


def _cost_of_run(run: Mapping[str, Any]) -> Cost:
    charged, still_open = int(run["cost_nanousd"] or 0), int(run["open"] or 0)
    if still_open and not charged:
        return Cost(text="not yet known", exact="", note="")
    shown = amount(charged)
    unsettled = still_open or run["state"] == "running"
    return Cost(text=shown.text, exact=shown.exact, note="so far" if unsettled else "")


def run_page(
    run: Mapping[str, Any],
    actions: Sequence[Mapping[str, Any]],
    doubts: Doubts,
    *,
    now: datetime,
    after: str,
    more: bool,
) -> RunPage:
    """One run with a page of its actions."""
    see = command("runs", "show", run["id"], "--json")
    result, ended = run["result"], run["ended_at"]
    here = run_href(run["id"])
    return RunPage(
        run=run_row(run, doubts, now),
        team=line(run["team"]),
        revision=run["revision"],
        started_by=line(run["started_by"]),
        ended=None if ended is None else moment(ended, now),
        labels=tuple(run["labels"]),
        because=line(run["because"] or "", 2000),
        correlation=line(run["correlation"]),
        result=None if result is None else whole(result, see),
        given=whole(run["input"], see),
        actions=tuple(action_row(action, now) for action in actions),
        range="" if not (after or more) else f"{len(actions):,} of {run['actions']:,}",
        later=f"{here}?{urlencode({'after': actions[-1]['id']})}" if more else "",
        first=here if after else "",
    )
