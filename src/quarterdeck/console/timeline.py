"""One run as a timeline: the page brings a piece of its actions, scrolling asks for the others.

However long the run is, a page and a piece read `TIMELINE_ROWS` actions and two counts by index.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console.pages import Pages, Visit
from quarterdeck.console.plain import Moment, Quote, line, moment
from quarterdeck.console.steps import Step, step
from quarterdeck.console.views import (
    NOTABLE,
    Choice,
    RunRow,
    choices,
    command,
    run_href,
    run_row,
    whole,
)
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import TIMELINE_ROWS
from quarterdeck.services import Services
from quarterdeck.services.timeline import Window

#: What can be shown of a run: everything, what is out of the ordinary, or one state.
_STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "": (),
    "notable": tuple(NOTABLE),
    **{name: (name,) for name in NOTABLE},
    "open": ("begun", "in_doubt"),
    "done": ("done",),
}
_SHOWN: Final = {"": "all", "notable": "out of the ordinary", "open": "open", "done": "done"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a run's actions; `first` is the number of its first one."""

    steps: tuple[Step, ...]
    first: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One run with a piece of its actions."""

    run: RunRow
    team: str
    revision: str
    started_by: str
    ended: Moment | None
    labels: tuple[str, ...]
    because: str
    correlation: str
    correlated: str
    result: Quote | None
    given: Quote
    piece: Piece
    shown: tuple[Choice, ...]
    show: str
    total: int
    total_words: str
    range: str
    per_piece: int
    pieces: str
    previous: str
    next: str
    in_doubt: str
    section: str = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinePages:
    """The page of one run."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/runs/{run}", self.show, methods=["GET"]),
            Route("/runs/{run}/actions", self.piece, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """One run: its head, and a piece of its actions."""
        visit = await self.pages.visit(request)
        caller, show = visit.caller, _show(request)
        run = await self.services.timeline.show(caller, request.path_params["run"])
        total = _total(run, show)
        start = _start(request, total)
        if at := request.query_params.get("at", ""):
            place = await self.services.timeline.place_of(caller, run["id"], at)
            start = place // TIMELINE_ROWS * TIMELINE_ROWS
        window = await self._window(visit, run["id"], start, show)
        page = run_page(run, window, show=show, start=start, total=total, now=visit.now)
        return self.pages.answer(visit, "run.html", page)

    async def piece(self, request: Request) -> Response:
        """A later piece of a run's actions, alone: the script puts it in its place."""
        visit = await self.pages.visit(request)
        show = _show(request)
        run = await self.services.timeline.find(visit.caller, request.path_params["run"])
        start = _start(request, 10**9)
        window = await self._window(visit, run["id"], start, show)
        piece = _piece(window, run, start, visit.now, show)
        return self.pages.answer(visit, "piece.html", piece)

    async def _window(self, visit: Visit, run: str, start: int, show: str) -> Window:
        return await self.services.timeline.window(
            visit.caller, run, offset=start, rows=TIMELINE_ROWS, states=_STATES[show]
        )


def _show(request: Request) -> str:
    show = request.query_params.get("show", "")
    if show not in _STATES:
        words = ", ".join(name for name in _STATES if name)
        raise Invalid(f"`{show[:40]}` is nothing a run can be narrowed to", hint=f"use {words}")
    return show


def _start(request: Request, total: int) -> int:
    """The place of the first action to show: pieces begin at whole multiples."""
    asked = request.query_params.get("from", "0")
    place = int(asked) if asked.isdecimal() and len(asked) < 10 else 0
    return min(place, max(0, total - 1)) // TIMELINE_ROWS * TIMELINE_ROWS


def _total(run: Mapping[str, Any], show: str) -> int:
    states: Mapping[str, int] = run["states"]
    return run["actions"] if not show else sum(states.get(s, 0) for s in _STATES[show])


def _piece(window: Window, run: Mapping[str, Any], start: int, now: datetime, show: str) -> Piece:
    until = run["ended_at"] or int(now.timestamp() * 1_000_000)
    steps = tuple(
        step(
            action, now, place=start + n, led=window.led and not show,
            started=run["started_at"], until=until,
        )
        for n, action in enumerate(window.actions)
    )  # fmt: skip
    return Piece(steps=steps, first=start + 1, start=start)


def run_page(
    run: Mapping[str, Any], window: Window, *, show: str, start: int, total: int, now: datetime
) -> RunPage:
    """One run with a piece of its actions."""
    see = command("runs", "show", run["id"], "--json")
    result, ended = run["result"], run["ended_at"]
    stop = start + len(window.actions)
    correlation = line(run["correlation"], 128)
    return RunPage(
        run=run_row(run, now),
        team=line(run["team"]),
        revision=run["revision"],
        started_by=line(run["started_by"]),
        ended=None if ended is None else moment(ended, now),
        labels=tuple(run["labels"]),
        because=line(run["because"] or "", 2000),
        correlation=correlation,
        correlated="" if correlation == run["id"] else run["correlation"],
        result=None if result is None else whole(result, see),
        given=whole(run["input"], see),
        piece=_piece(window, run, start, now, show),
        shown=_choices(run, show),
        show=show,
        total=total,
        total_words=f"{total:,}",
        range=f"{start + 1:,} to {stop:,} of {total:,}" if total > TIMELINE_ROWS else "",
        per_piece=TIMELINE_ROWS,
        pieces=f"{run_href(run['id'])}/actions",
        previous=_page(run, show, start - TIMELINE_ROWS) if start else "",
        next=_page(run, show, stop) if stop < total else "",
        in_doubt=f"{run['in_doubt']:,}" if run["in_doubt"] else "",
    )


def _page(run: Mapping[str, Any], show: str, start: int) -> str:
    return run_href(run["id"], show=show, **{"from": str(start) if start > 0 else ""})


def _choices(run: Mapping[str, Any], show: str) -> tuple[Choice, ...]:
    """What there is to narrow to, with how many; what there is none of is left out."""
    found = []
    for name in _STATES:
        number = _total(run, name)
        word = _SHOWN.get(name) or NOTABLE[name][0]
        if number or not name or name == show:
            found.append((name, f"{word} ({number:,})"))
    return choices(found, show)
