"""Actions in the console: those on one target, and the page of one with what was said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console import messages
from quarterdeck.console.attempts import AttemptRow, attempt_rows
from quarterdeck.console.messages import Changed, Difference, Field, Said
from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import Moment, Quote, line, moment, plural, size, visible
from quarterdeck.console.steps import ACTION_STATES, OPEN, Step, step
from quarterdeck.console.views import (
    Choice,
    action_href,
    actions_href,
    choices,
    command,
    run_href,
    whole,
)
from quarterdeck.domain.conversations import ending_of
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import EARLIER_PARTS_MAX, PAGE_ROWS_DEFAULT, QUOTE_CHARACTERS_MAX
from quarterdeck.services import Services
from quarterdeck.services.conversations import Turn

FILTERS: Final = ("target", "agent", "state", "day", "since")
EARLIER_STEP: Final = 20
_VIEWS: Final = ("said", "raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsPage:
    """Actions on one target."""

    target: str
    rows: tuple[Step, ...]
    states: tuple[Choice, ...]
    filters: tuple[tuple[str, str], ...]
    since: str
    agent: str
    older: str
    newest: str
    section: str = "costs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """One side of an action as recorded; `invisible` counts what is written out in it."""

    name: str
    body: Quote
    bytes: str
    invisible: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPage:
    """One action with what it asked and what came back."""

    step: Step
    view: str
    said_href: str
    raw_href: str
    place: str
    previous: str
    next: str
    back: str
    team: str
    revision: str
    digest: str
    idempotency_key: str
    settled: Moment | None
    unsettled: bool
    in_doubt: bool
    doubt: str
    price_version: str
    unchanged: str
    earlier: str
    parts: tuple[Said, ...]
    left_out: str
    difference: Difference | None
    changed: tuple[Changed, ...]
    before: str
    arguments: tuple[Field, ...]
    rest: Quote | None
    answers: tuple[Said, ...]
    ending: str
    result: tuple[Field, ...]
    response: Quote | None
    detail: Quote | None
    attempts: tuple[AttemptRow, ...]
    raws: tuple[Raw, ...]
    section: str = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPages:
    """The pages of actions."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/actions", self.list_page, methods=["GET"]),
            Route("/actions/{action}", self.show, methods=["GET"]),
            Route("/actions/{action}/{side}.json", self.recorded, methods=["GET"]),
        ]

    async def list_page(self, request: Request) -> Response:
        """Actions on one target, newest first."""
        visit = await self.pages.visit(request)
        asked = request.query_params
        filters = {name: asked[name].strip() for name in FILTERS if asked.get(name, "").strip()}
        before = asked.get("before", "")
        found, further = await self.services.search.list_on_target(
            visit.caller, filters, before=before, rows=PAGE_ROWS_DEFAULT
        )
        page = actions_page(found, filters=filters, before=before, further=further, now=visit.now)
        return self.pages.answer(visit, "actions.html", page)

    async def show(self, request: Request) -> Response:
        """One action."""
        visit = await self.pages.visit(request)
        caller, action = visit.caller, request.path_params["action"]
        view = request.query_params.get("view", "said")
        if view not in _VIEWS:
            raise Invalid("there is no such view of an action", hint=f"use {' or '.join(_VIEWS)}")
        turn = await self.services.conversations.show(caller, action, earlier=_earlier(request))
        run = turn.action["run"]
        place = await self.services.timeline.place_of(caller, run, action)
        beside = await self.services.timeline.neighbours(caller, run, action)
        raws = await self._raws(request, turn) if view == "raw" else ()
        page = action_page(turn, view=view, place=place, beside=beside, raws=raws, now=visit.now)
        return self.pages.answer(visit, "action.html", page)

    async def _raws(self, request: Request, turn: Turn) -> tuple[Raw, ...]:
        visit = await self.pages.visit(request)
        action = turn.action["id"]
        sides = [("request", "Request", turn.total or turn.rest is not None)]
        sides.append(("answer", "Answer", turn.response is not None))
        return tuple(
            [
                _raw(
                    action,
                    side,
                    name,
                    await self.services.conversations.recorded(visit.caller, action, side),
                )
                for side, name, there in sides
                if there
            ]
        )

    async def recorded(self, request: Request) -> Response:
        """The redacted bytes, as a file: a browser saves it and shows nothing."""
        visit = await self.pages.visit(request)
        action, side = request.path_params["action"], request.path_params["side"]
        if side not in ("request", "answer"):
            raise Invalid("an action has a request and an answer", hint="ask for one of them")
        body = await self.services.conversations.recorded(visit.caller, action, side)
        headers = {"content-disposition": f'attachment; filename="{line(action, 64)}.{side}.json"'}
        return Response(body, media_type="application/octet-stream", headers=headers)


def _earlier(request: Request) -> int:
    asked = request.query_params.get("earlier", "0")
    return min(EARLIER_PARTS_MAX, int(asked)) if asked.isdecimal() and len(asked) < 6 else 0


def _raw(action: str, side: str, name: str, body: bytes) -> Raw:
    text = body.decode("utf-8", "replace")
    shown = visible(text[:QUOTE_CHARACTERS_MAX])
    written_out = shown.count("⟨U+")
    note = ""
    if len(text) > QUOTE_CHARACTERS_MAX:
        note = f"Shown are the first {QUOTE_CHARACTERS_MAX:,} of {len(text):,} characters."
    return Raw(
        name=name,
        body=Quote(text=shown, note=note),
        bytes=size(len(body)),
        invisible=f"{plural(written_out, 'invisible character')} written out as ⟨U+…⟩."
        if written_out
        else "",
        file=f"{action_href(action)}/{side}.json",
    )


def actions_page(
    found: Sequence[Mapping[str, Any]],
    *,
    filters: Mapping[str, str],
    before: str,
    further: str,
    now: datetime,
) -> ActionsPage:
    """A list of actions; `further` is the id to go on from."""
    states = [("", "any state"), *((s, s.replace("_", " ")) for s in ACTION_STATES)]
    return ActionsPage(
        target=line(filters["target"], 120),
        rows=tuple(step(action, now) for action in found),
        states=choices(states, filters.get("state", "")),
        filters=tuple((n, v) for n, v in filters.items() if n != "state"),
        since=_since(filters),
        agent=line(filters.get("agent", ""), 64),
        older=actions_href({**filters, "before": further}) if further else "",
        newest=actions_href(filters) if before else "",
    )


def _since(filters: Mapping[str, str]) -> str:
    if day := filters.get("day", ""):
        return f"on {line(day, 20)} (UTC)"
    since = filters.get("since", "")
    return f"since {line(since, 20)} (UTC)" if since else ""


def action_page(
    turn: Turn,
    *,
    view: str,
    place: int,
    beside: tuple[str, str],
    raws: tuple[Raw, ...],
    now: datetime,
) -> ActionPage:
    """One action with its request and its answer."""
    action = turn.action
    see = command("actions", "show", action["id"], "--json")
    settled = action["settled_at"]
    is_model = action["kind"] == "model"
    answers = messages.answered(turn.response, see) if is_model else ()
    arguments = () if is_model else messages.fields_of(turn.rest)
    result = messages.fields_of(turn.response) if not answers else ()
    left = turn.total - turn.start - len(turn.parts)
    new_left_out = max(0, turn.start - turn.shared)
    return ActionPage(
        step=step(action, now, place=place),
        view=view,
        said_href=action_href(action["id"]),
        raw_href=action_href(action["id"], view="raw"),
        place=f"{place + 1:,}",
        previous=action_href(beside[0]) if beside[0] else "",
        next=action_href(beside[1]) if beside[1] else "",
        back=run_href(action["run"], at=action["id"]),
        team=line(action["team"]),
        revision=action["revision"],
        digest=action["digest"],
        idempotency_key=line(action["idempotency_key"] or ""),
        settled=None if settled is None else moment(settled, now),
        unsettled=action["state"] in OPEN,
        in_doubt=action["state"] == "in_doubt",
        doubt=(action["doubt"] or {}).get("words", ""),
        price_version=line(action["price_version"] or ""),
        unchanged=_unchanged(turn),
        earlier=_earlier_href(turn),
        parts=tuple(messages.said(part, turn.shared, see) for part in turn.parts),
        left_out=_left_out(new_left_out, left, see),
        difference=messages.difference(turn),
        changed=messages.changed(turn.rest_before, turn.rest),
        before=action_href(turn.before) if turn.before else "",
        arguments=arguments,
        rest=whole(turn.rest, see) if turn.rest and not arguments else None,
        answers=answers,
        ending=line(ending_of(turn.response), 60) if is_model else "",
        result=result,
        response=None if turn.response is None or answers or result else whole(turn.response, see),
        detail=whole(action["detail"], see) if action["detail"] else None,
        attempts=attempt_rows(action["detail"] or {}),
        raws=raws,
    )


def _unchanged(turn: Turn) -> str:
    """What of the request the turn before had said already."""
    if not turn.shared:
        return ""
    dropped = f", and {plural(turn.dropped, 'message')} of it are gone" if turn.dropped else ""
    same = plural(turn.shared, "earlier message")
    return f"{same} as in the turn before{dropped}"


def _earlier_href(turn: Turn) -> str:
    hidden = turn.shared - (turn.shared - turn.start if turn.start < turn.shared else 0)
    if hidden <= 0:
        return ""
    more = min(EARLIER_PARTS_MAX, turn.shared - hidden + EARLIER_STEP)
    return action_href(turn.action["id"], earlier=str(more))


def _left_out(skipped: int, later: int, see: str) -> str:
    if skipped > 0:
        return f"{plural(skipped, 'new message')} before these are left out. To see them: {see}"
    if later > 0:
        return f"{plural(later, 'message')} after these are left out. To see them: {see}"
    return ""
