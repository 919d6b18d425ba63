"""Runs over HTTP: start, end, list, show, and the actions of one."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.actions import ActionShown
from quarterdeck.api.callers import Callers, Identified
from quarterdeck.api.described import who
from quarterdeck.api.driving import Driving
from quarterdeck.api.once import ServedOnce, nothing, reply_of
from quarterdeck.api.wire import (
    LIMIT,
    TEXT,
    Cursor,
    EndAsked,
    Id,
    Limit,
    Name,
    Page,
    RunAsked,
    Shown,
    Since,
    StrictRoute,
    Until,
    micros_of,
    moment,
    paged,
    time_of,
    whole,
)
from quarterdeck.domain.errors import Forbidden
from quarterdeck.domain.ids import RunId
from quarterdeck.domain.money import usd
from quarterdeck.domain.people import Caller
from quarterdeck.domain.runs import RunFilters, RunOutcome, RunState
from quarterdeck.services import Services
from quarterdeck.services.replies import Once
from quarterdeck.services.runs import Runs, StartedRun

RunKind: TypeAlias = Literal["runner", "external", "suggestion", "person"]
Having: TypeAlias = Literal["failed", "refused", "held", "suggested", "not_attempted", "in_doubt"]


class RunStarted(Shown):
    """A run that was started, and how it ended if that was waited for."""

    id: str
    agent: str
    revision: str
    kind: str
    state: str
    credential: str | None = None
    because: str | None = None
    result: dict[str, Any] | None = None

    @classmethod
    def of(cls, started: StartedRun, kind: str) -> "RunStarted":
        """From what was started; only a program elsewhere needs the credential."""
        return cls(
            id=started.id,
            agent=started.agent,
            revision=started.revision,
            kind=kind,
            state="running",
            credential=started.credential if kind == "external" else None,
        )


class RunShown(Shown):
    """A run in the list, with its totals."""

    id: str
    agent: str
    team: str
    revision: str
    state: str
    kind: str
    started_by: str
    started_at: str
    ended_at: str | None
    because: str | None
    correlation: str
    actions: int
    refused: int
    open: int
    cost_nanousd: int
    cost_usd: str

    @classmethod
    def fields_of(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """What every view of a run has, from what the service answers."""
        same = (
            "id", "agent", "team", "revision", "state", "kind", "started_by", "because",
            "correlation",
        )  # fmt: skip
        cost = whole(row["cost_nanousd"])
        return {
            **{name: row[name] for name in same},
            "started_at": moment(row["started_at"]),
            "ended_at": time_of(row["ended_at"]),
            **{name: whole(row[name]) for name in ("actions", "refused", "open")},
            "cost_nanousd": cost,
            "cost_usd": usd(cost),
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "RunShown":
        """From what the service lists."""
        return cls(**cls.fields_of(row))


class RunDetail(RunShown):
    """A run with its input and its result, both redacted."""

    labels: list[str]
    deadline: str
    input: Any
    result: Any

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "RunDetail":
        """From what the service shows."""
        more = {name: row[name] for name in ("labels", "input", "result")}
        return cls(**cls.fields_of(row), **more, deadline=moment(row["deadline"]))


def routes(services: Services, driving: Driving, callers: Callers, once: ServedOnce) -> APIRouter:
    """`/v1/runs`."""
    router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=StrictRoute)
    _add_lists(router, services, callers)
    _add_start(router, services, driving, callers, once)
    _add_end(router, services.runs, callers, once)
    return router


def _add_lists(router: APIRouter, services: Services, callers: Callers) -> None:
    @router.get("", openapi_extra=who("read"))
    async def list_runs(
        *,
        request: Request,
        response: Response,
        asked: Annotated[_RunsAsked, Depends()],
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[RunShown]:
        """Runs, newest first, with their totals; all filters must fit."""
        before = cursors.read(cursor)
        rows = await services.runs.list_page(
            caller, asked.filters(), before=before[0] if before else "", rows=limit + 1
        )
        items = [RunShown.of(row) for row in rows]
        return paged(request, response, items, limit, lambda run: (run.id,))

    @router.get("/{run}", openapi_extra=who("read"))
    async def show_run(*, run: Id, caller: Annotated[Caller, Depends(callers.caller)]) -> RunDetail:
        """One run with its totals, its redacted input and its result."""
        return RunDetail.of(await services.runs.show(caller, run))

    @router.get("/{run}/actions", openapi_extra=who("read"))
    async def list_run_actions(
        *,
        request: Request,
        response: Response,
        run: Id,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[ActionShown]:
        """A run's actions, in the order they were asked for."""
        after = cursors.read(cursor)
        rows = await services.actions.list_of_run(
            caller, run, after=after[0] if after else "", rows=limit + 1
        )
        if not rows and not cursor:
            # A run that does not exist is said to, not shown empty.
            await services.runs.show(caller, run)
        items = [ActionShown.of(row) for row in rows]
        return paged(request, response, items, limit, lambda action: (action.id,))


class _RunsAsked:
    """The filters of a list of runs."""

    def __init__(
        self,
        *,
        agent: Annotated[Name | None, Query(description="Only of this agent.")] = None,
        team: Annotated[Name | None, Query(description="Only of this team.")] = None,
        state: Annotated[RunState | None, Query(description="Only in this state.")] = None,
        kind: Annotated[
            RunKind | None,
            Query(
                description="Driven here, elsewhere, to carry out a suggestion, or by a person's"
                " own MCP client."
            ),
        ] = None,
        since: Since = None,
        until: Until = None,
        correlation: Annotated[
            str,
            Query(
                pattern=TEXT,
                max_length=128,
                description="Only with this reference: a ticket, a pull request.",
            ),
        ] = "",
        having: Annotated[
            Having | None, Query(description="Only with an action in this state.")
        ] = None,
        q: Annotated[
            str,
            Query(
                pattern=TEXT,
                max_length=200,
                description="An id of a run or the beginning of one, an action's id, or words that"
                " all stand in what the run was given, its reference or how it ended.",
                examples=["refund damaged"],
            ),
        ] = "",
    ) -> None:
        self._filters = RunFilters(
            agent=agent or "",
            team=team or "",
            state=state or "",
            kind=kind or "",
            since=micros_of(since),
            until=micros_of(until),
            correlation=correlation,
            having=having or "",
            text=q,
        )

    def filters(self) -> RunFilters:
        """As the service takes them."""
        return self._filters


def _add_start(
    router: APIRouter, services: Services, driving: Driving, callers: Callers, once: ServedOnce
) -> None:
    @router.post(
        "",
        status_code=201,
        responses={
            200: {"model": RunStarted, "description": "A driven run that was waited for."},
            202: {"model": RunStarted, "description": "A driven run that has begun."},
        },
        openapi_extra=who("start"),
    )
    async def start_run(
        *,
        body: RunAsked,
        response: Response,
        caller: Annotated[Caller, Depends(callers.caller)],
        once: Annotated[Once, Depends(once)],
    ) -> RunStarted:
        """Start a run: 201 with a credential for an external one, 202 for one driven here.

        With `wait` the answer to the latter is 200, with how it ended.
        """
        external = body.kind == "external"
        status = 201 if external else 202
        answering = once.answering(lambda run: reply_of(status, RunStarted.of(run, body.kind)))
        started = await services.runs.start(
            caller, body.agent, body.input, kind=body.kind, once=answering
        )
        shown = RunStarted.of(started, body.kind)
        response.status_code = status
        if external:
            return shown
        task = driving.start(caller, started, body.input)
        if not body.wait:
            return shown
        # Shielded: the run goes on to its end when nobody waits for it any more.
        outcome = await asyncio.shield(task)
        response.status_code = 200
        ended = {"state": outcome.state, "because": outcome.because, "result": outcome.result}
        shown = shown.model_copy(update=ended)
        await services.replies.amend(once, reply_of(200, shown))
        return shown


def _add_end(router: APIRouter, runs: Runs, callers: Callers, once: ServedOnce) -> None:
    @router.post("/{run}/end", status_code=204, openapi_extra=who("start", "run"))
    async def end_run(
        *,
        run: Id,
        body: EndAsked,
        identified: Annotated[Identified, Depends(callers.anybody)],
        once: Annotated[Once, Depends(once)],
    ) -> None:
        """End a run; its credential dies with it."""
        if identified.run not in (None, run):
            raise Forbidden(
                "a run's credential may end its own run only", hint=f"end `{identified.run}`"
            )
        outcome = RunOutcome(state=body.state, because=body.because, result=body.result)
        await runs.end(identified.caller, RunId(run), outcome, once=once.answering(nothing))
