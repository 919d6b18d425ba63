"""The list of runs: filters that are its address, and names a person saves for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarterdeck.console.pages import Pages
from quarterdeck.console.perimeter import posted
from quarterdeck.console.plain import line
from quarterdeck.console.views import (
    NOTABLE,
    RUN_STATES,
    Choice,
    RunRow,
    choices,
    run_row,
    runs_href,
)
from quarterdeck.domain.limits import PAGE_ROWS_DEFAULT
from quarterdeck.services import Services
from quarterdeck.services.views import View

FILTERS: Final = ("agent", "team", "state", "with", "period", "day", "since", "correlation", "text")
_PERIODS: Final = (
    ("", "any time"),
    ("1h", "last hour"),
    ("24h", "last 24 hours"),
    ("7d", "last 7 days"),
    ("30d", "last 30 days"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A view as a link, and the button that removes it."""

    name: str
    raw_name: str
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """The list of runs."""

    rows: tuple[RunRow, ...]
    agents: tuple[Choice, ...]
    teams: tuple[Choice, ...]
    states: tuple[Choice, ...]
    withs: tuple[Choice, ...]
    periods: tuple[Choice, ...]
    days: tuple[tuple[str, str], ...]
    correlation: str
    text: str
    filtered: str
    query: str
    all: str
    older: str
    newest: str
    live: str
    first_agent: str
    views: tuple[SavedView, ...]
    section: str = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPages:
    """The pages of runs as a list."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/runs", self.list_page, methods=["GET"]),
            Route("/views", self.save, methods=["POST"]),
            Route("/views/remove", self.forget, methods=["POST"]),
        ]

    async def list_page(self, request: Request) -> Response:
        """Runs, newest first."""
        visit = await self.pages.visit(request)
        caller, asked = visit.caller, request.query_params
        filters = {name: asked[name].strip() for name in FILTERS if asked.get(name, "").strip()}
        before = asked.get("before", "")
        # One row more than is shown tells whether there are older ones.
        found = await self.services.search.list_runs(
            caller, filters, before=before, rows=PAGE_ROWS_DEFAULT + 1
        )
        agents = await self.services.agents.list_all(caller)
        page = runs_page(
            found,
            agents=agents,
            filters=filters,
            before=before,
            views=await self.services.views.list_own(caller),
            now=visit.now,
        )
        return self.pages.answer(visit, "runs.html", page)

    async def save(self, request: Request) -> Response:
        """Save the filters of the list under a name."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        kept = _filters_of(fields.get("query", ""))
        view = await self.services.views.save(visit.caller, fields.get("name", ""), urlencode(kept))
        return RedirectResponse(runs_href(_filters_of(view.query)), status_code=303)

    async def forget(self, request: Request) -> Response:
        """Remove a saved view."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        await self.services.views.forget(visit.caller, fields.get("name", ""))
        return RedirectResponse(runs_href(_filters_of(fields.get("query", ""))), status_code=303)


def _filters_of(query: str) -> dict[str, str]:
    """The filters in a query, and nothing else of it."""
    return {name: value for name, value in parse_qsl(query) if name in FILTERS and value}


def runs_page(
    found: Sequence[Mapping[str, Any]],
    *,
    agents: Sequence[Mapping[str, Any]],
    filters: Mapping[str, str],
    before: str,
    views: Sequence[View],
    now: datetime,
) -> RunsPage:
    """The list of runs; a row beyond the page only says that there are older ones."""
    shown = found[:PAGE_ROWS_DEFAULT]
    older = {**filters, "before": shown[-1]["id"]} if len(found) > len(shown) else None
    states = [("", "any state"), *((state, state) for state in RUN_STATES)]
    withs = [("", "anything"), *((name, f"{word} actions") for name, (word, _) in NOTABLE.items())]
    return RunsPage(
        rows=tuple(run_row(run, now) for run in shown),
        agents=_names("any agent", [a["name"] for a in agents], filters.get("agent", "")),
        teams=_names("any team", [a["team"] for a in agents], filters.get("team", "")),
        states=choices(states, filters.get("state", "")),
        withs=choices(withs, filters.get("with", "")),
        periods=choices(_PERIODS, filters.get("period", "")),
        days=tuple((n, line(filters[n], 20)) for n in ("day", "since") if n in filters),
        correlation=line(filters.get("correlation", ""), 128),
        text=line(filters.get("text", ""), 200),
        filtered=_words(filters),
        query=urlencode(filters),
        all=runs_href({}),
        older="" if older is None else runs_href(older),
        newest=runs_href(filters) if before else "",
        live="" if before else "all",
        first_agent=line(agents[0]["name"], 64) if agents else "",
        views=tuple(_saved(view, filters) for view in views),
    )


def _names(any_of: str, names: Sequence[str], chosen: str) -> tuple[Choice, ...]:
    """A run's agent may have left the fleet: what is filtered by stays a choice."""
    known = sorted({*names, chosen} - {""})
    return choices([("", any_of), *((name, line(name, 64)) for name in known)], chosen)


def _words(filters: Mapping[str, str]) -> str:
    """What the list is narrowed to, as a name a view could have."""
    said = [line(value, 60).replace("_", " ") for value in filters.values()]
    return ", ".join(said)


def _saved(view: View, filters: Mapping[str, str]) -> SavedView:
    own = _filters_of(view.query)
    return SavedView(
        name=line(view.name, 60),
        raw_name=view.name,
        href=runs_href(own),
        chosen=own == dict(filters) and bool(own),
    )
