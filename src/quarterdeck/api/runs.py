"""Runs over HTTP: start, end, list, show, and the actions of one."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from quarterdeck.api.actions import ActionShown
from quarterdeck.api.callers import Callers, Identified
from quarterdeck.api.driving import Driving
from quarterdeck.api.wire import (
    LIMIT,
    Cursor,
    EndAsked,
    Limit,
    Page,
    RunAsked,
    Shown,
    StrictRoute,
    moment,
    paged,
    time_of,
    whole,
)
from quarterdeck.domain.errors import Forbidden
from quarterdeck.domain.ids import RunId
from quarterdeck.domain.money import usd
from quarterdeck.domain.people import Caller
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.services.actions import Actions
from quarterdeck.services.runs import Runs


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
    actions: int
    refused: int
    open: int
    cost_nanousd: int
    cost_usd: str

    @classmethod
    def fields_of(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """What every view of a run has, from what the service answers."""
        same = ("id", "agent", "team", "revision", "state", "kind", "started_by", "because")
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

    correlation: str
    labels: list[str]
    deadline: str
    input: Any
    result: Any

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "RunDetail":
        """From what the service shows."""
        more = {name: row[name] for name in ("correlation", "labels", "input", "result")}
        return cls(**cls.fields_of(row), **more, deadline=moment(row["deadline"]))


def routes(runs: Runs, actions: Actions, driving: Driving, callers: Callers) -> APIRouter:
    """`/v1/runs`."""
    router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=StrictRoute)

    _add_reading(router, runs, actions, callers)
    _add_changing(router, runs, driving, callers)
    return router


def _add_reading(router: APIRouter, runs: Runs, actions: Actions, callers: Callers) -> None:
    @router.get("")
    async def list_runs(
        *,
        agent: Annotated[str, Query(max_length=64)] = "",
        state: Annotated[str, Query(max_length=16)] = "",
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[RunShown]:
        """Runs, newest first."""
        filters = {name: v for name, v in (("agent", agent), ("state", state)) if v}
        rows = await runs.list_page(caller, filters, before=cursor, rows=limit)
        return paged([RunShown.of(row) for row in rows], limit, rows[-1]["id"] if rows else None)

    @router.get("/{run}")
    async def show_run(
        *, run: str, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> RunDetail:
        """One run with its totals, its input and its result, both redacted."""
        return RunDetail.of(await runs.show(caller, run))

    @router.get("/{run}/actions")
    async def list_actions(
        *,
        run: str,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[ActionShown]:
        """A run's actions, in the order they were asked for."""
        rows = await actions.list_of_run(caller, run, after=cursor, rows=limit)
        if not rows and not cursor:
            await runs.show(caller, run)  # a run that does not exist is said to, not shown empty
        return paged([ActionShown.of(row) for row in rows], limit, rows[-1]["id"] if rows else None)


def _add_changing(router: APIRouter, runs: Runs, driving: Driving, callers: Callers) -> None:
    @router.post(
        "", status_code=201, responses={200: {"model": RunStarted}, 202: {"model": RunStarted}}
    )
    async def start_run(
        *, body: RunAsked, response: Response, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> RunStarted:
        """Start a run: 201 with a credential for an external one, 202 for one driven here.

        With `wait` the answer to the latter is 200, with how it ended.
        """
        started = await runs.start(caller, body.agent, body.input, kind=body.kind)
        shown = RunStarted(
            id=started.id,
            agent=started.agent,
            revision=started.revision,
            kind=body.kind,
            state="running",
            credential=started.credential if body.kind == "external" else None,
        )
        if body.kind == "external":
            return shown
        task = driving.start(caller, started, body.input)
        if not body.wait:
            response.status_code = 202
            return shown
        # Shielded: the run goes on to its end when nobody waits for it any more.
        outcome = await asyncio.shield(task)
        response.status_code = 200
        ended = {"state": outcome.state, "because": outcome.because, "result": outcome.result}
        return shown.model_copy(update=ended)

    @router.post("/{run}/end", status_code=204)
    async def end_run(
        *, run: str, body: EndAsked, identified: Annotated[Identified, Depends(callers.anybody)]
    ) -> None:
        """End a run; its credential dies with it."""
        if identified.run not in (None, run):
            raise Forbidden(
                "a run's credential may end its own run only", hint=f"end `{identified.run}`"
            )
        outcome = RunOutcome(state=body.state, because=body.because, result=body.result)
        await runs.end(identified.caller, RunId(run), outcome)
