"""Approvals over HTTP: what waits for a person, its exact arguments, and the answer."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors, etags
from quarterdeck.api.actions import ReasonShown
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.etags import IfMatch
from quarterdeck.api.wire import (
    LIMIT,
    TEXT,
    AnswerAsked,
    Cursor,
    Id,
    Limit,
    Page,
    Shown,
    StrictRoute,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.approvals import State
from quarterdeck.domain.errors import Overtaken
from quarterdeck.domain.people import Caller
from quarterdeck.services.approvals import Approvals

_SAME: Final = (
    "id", "state", "action", "run", "agent", "team", "revision", "kind", "target", "digest",
    "labels", "answered_by", "because", "spent_by",
)  # fmt: skip


class ConsequencesShown(Shown):
    """What a call would do at the most, read from its contract and its arguments."""

    effect: str
    summary: str
    moves: list[str]
    written: int
    deleted: int
    messages: int
    destinations: dict[str, str]
    reversible: str | None
    cost_nanousd: int


class ApprovalShown(Shown):
    """An approval: which call, what it would do, and what was answered.

    `action` is the held action it was asked for, `spent_by` the one that was cleared with it.
    """

    id: str
    state: str
    action: str
    run: str
    agent: str
    team: str
    revision: str
    kind: str
    target: str
    digest: str
    labels: list[str]
    consequences: ConsequencesShown
    asked_at: str
    answered_at: str | None
    answered_by: str | None
    because: str | None
    spent_by: str | None

    @classmethod
    def fields_of(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """What every view of an approval has, from what the service answers."""
        return {
            **{name: row[name] for name in _SAME},
            "consequences": ConsequencesShown(**row["consequences"]),
            "asked_at": moment(row["asked_at"]),
            "answered_at": time_of(row["answered_at"]),
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ApprovalShown":
        """From what the service lists."""
        return cls(**cls.fields_of(row))


class ApprovalDetail(ApprovalShown):
    """An approval with the redacted arguments, the rules that asked, and the plan it is part of."""

    arguments: Any
    reasons: list[ReasonShown]
    plan: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ApprovalDetail":
        """From what the service shows."""
        more = {name: row[name] for name in ("arguments", "reasons", "plan")}
        return cls(**cls.fields_of(row), **more)


class Revealed(Shown):
    """The exact arguments; that somebody looked at them is in the ledger."""

    id: str
    digest: str
    arguments: Any


def routes(approvals: Approvals, callers: Callers) -> APIRouter:
    """`/v1/approvals`."""
    router = APIRouter(prefix="/v1/approvals", tags=["approvals"], route_class=StrictRoute)
    _add_reading(router, approvals, callers)

    @router.post("/{approval}", openapi_extra=who("approve"))
    async def answer_approval(
        *,
        approval: Id,
        body: AnswerAsked,
        response: Response,
        if_match: IfMatch = None,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> ApprovalShown:
        """Allow or deny exactly the call with this digest. Nothing is carried out by it.

        Its run asks for the same call again; everything but this question is then asked anew.
        """
        await _check(approvals, caller, approval, if_match)
        row = await approvals.answer(
            caller, approval, body.answer, digest=body.digest, because=body.because
        )
        response.headers["etag"] = _etag(row)
        return ApprovalShown.of(row)

    @router.post("/{approval}/reveal", openapi_extra=who("approve"))
    async def reveal_approval(
        *, approval: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> Revealed:
        """The exact arguments, for whoever may answer; the ledger says who looked."""
        return Revealed(**await approvals.reveal(caller, approval))

    return router


def _add_reading(router: APIRouter, approvals: Approvals, callers: Callers) -> None:
    @router.get("", openapi_extra=who("read"))
    async def list_approvals(
        *,
        request: Request,
        response: Response,
        state: Annotated[State | None, Query(description="Only in this state.")] = None,
        run: Annotated[
            str, Query(pattern=TEXT, max_length=64, description="Only of this run.")
        ] = "",
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[ApprovalShown]:
        """Approvals, newest first; all filters must fit."""
        rows = await approvals.list_page(
            caller,
            states=(state,) if state else (),
            run=run,
            before=cursors.read_one(cursor),
            rows=limit + 1,
        )
        items = [ApprovalShown.of(row) for row in rows]
        return paged(request, response, items, limit, lambda approval: (approval.id,))

    @router.get("/{approval}", openapi_extra=who("read"))
    async def show_approval(
        *, approval: Id, response: Response, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> ApprovalDetail:
        """One approval; its `ETag` changes when somebody answers."""
        row = await approvals.show(caller, approval)
        response.headers["etag"] = _etag(row)
        return ApprovalDetail.of(row)


async def _check(approvals: Approvals, caller: Caller, approval: str, if_match: str | None) -> None:
    """Raise Overtaken unless it is as the caller has seen it; the answer itself looks again."""
    seen = etags.seen(if_match, None)
    if seen is None:
        return
    row = await approvals.show(caller, approval)
    if _state(row) not in seen:
        who_did = f"; `{row['answered_by']}` has answered" if row["answered_by"] else ""
        raise Overtaken(f"`{approval}` is {row['state']} now{who_did}", hint="look at it again")


def _state(row: Mapping[str, Any]) -> str:
    return f"{row['digest'][:16]}-{row['state']}"


def _etag(row: Mapping[str, Any]) -> str:
    return etags.written(_state(row))
