"""Runs over HTTP: start, end, list, show, and the actions of one."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from quarterdeck.api.callers import Callers, Identified
from quarterdeck.api.driving import Driving
from quarterdeck.api.shown import ActionShown, RunDetail, RunShown, RunStarted
from quarterdeck.api.wire import LIMIT, Cursor, EndAsked, Limit, Page, RunAsked, StrictRoute, paged
from quarterdeck.domain.errors import Forbidden
from quarterdeck.domain.ids import RunId
from quarterdeck.domain.people import Caller
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.services.actions import Actions
from quarterdeck.services.runs import Runs


def routes(runs: Runs, actions: Actions, driving: Driving, callers: Callers) -> APIRouter:
    """`/v1/runs`."""
    router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=StrictRoute)

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

    @router.get("/{run}")
    async def show_run(
        *, run: str, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> RunDetail:
        """One run with its totals, its input and its result, both redacted."""
        return RunDetail.of(await runs.show(caller, run))

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

    return router
