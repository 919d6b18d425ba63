"""Actions over HTTP, for reading. Asking for one is the data plane's `POST /v1/actions`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import (
    LIMIT,
    TEXT,
    Cursor,
    Id,
    Limit,
    Name,
    Page,
    Shown,
    Since,
    StrictRoute,
    Until,
    micros_of,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.actions import ActionFilters, Kind
from quarterdeck.domain.money import usd
from quarterdeck.domain.people import Caller
from quarterdeck.services.actions import Actions

ActionState: TypeAlias = Literal[
    "begun", "done", "failed", "not_attempted", "refused", "held", "suggested", "in_doubt"
]
_SAME: Final = (
    "id", "run", "agent", "team", "revision", "kind", "target", "mark", "state", "answer",
    "reasons", "labels", "digest", "idempotency_key", "cost_nanousd", "held_nanousd", "usage",
    "usage_source", "price_version", "detail",
)  # fmt: skip


class ReasonShown(Shown):
    """A rule that spoke, and what it said."""

    rule: str
    because: str


class ActionShown(Shown):
    """An action: what was asked, what the checkpoint answered, what came of it."""

    id: str
    run: str
    agent: str
    team: str
    revision: str
    kind: str
    target: str
    mark: str
    state: str
    answer: str
    reasons: list[ReasonShown]
    labels: list[str]
    digest: str
    idempotency_key: str | None
    proposed_at: str
    settled_at: str | None
    cost_nanousd: int
    cost_usd: str
    held_nanousd: int
    held_usd: str
    usage: dict[str, int] | None
    usage_source: str | None
    price_version: str | None
    detail: dict[str, Any]

    @classmethod
    def fields_of(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """What every view of an action has, from what the service answers."""
        return {
            **{name: row[name] for name in _SAME},
            "proposed_at": moment(row["proposed_at"]),
            "settled_at": time_of(row["settled_at"]),
            "cost_usd": usd(row["cost_nanousd"]),
            "held_usd": usd(row["held_nanousd"]),
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ActionShown":
        """From what the service lists."""
        return cls(**cls.fields_of(row))


class DoubtShown(Shown):
    """Of an action that nobody knows the outcome of: how often it was tried again, and when next.

    `ended_at`: since then nobody tries to find out. `words`: what people should know and do.
    """

    tries: int
    next_at: str | None
    ended_at: str | None
    words: str

    @classmethod
    def of(cls, doubt: Mapping[str, Any]) -> "DoubtShown":
        """From what the service shows."""
        times = {name: time_of(doubt[name]) for name in ("next_at", "ended_at")}
        return cls(tries=doubt["tries"], words=doubt["words"], **times)


class ActionDetail(ActionShown):
    """An action with its redacted request and answer, and what people have to do with it.

    `approval`: the one it waits for or was cleared with. `suggestion`: the one it is, or carries
    out. `plan`: the one it is a step of. `doubt`: where nobody knows whether it took place.
    """

    request: Any
    response: Any
    approval: str | None
    suggestion: str | None
    plan: str | None
    doubt: DoubtShown | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ActionDetail":
        """From what the service shows."""
        more = {n: row[n] for n in ("request", "response", "approval", "suggestion", "plan")}
        doubt = None if row["doubt"] is None else DoubtShown.of(row["doubt"])
        return cls(**cls.fields_of(row), **more, doubt=doubt)


def routes(actions: Actions, callers: Callers) -> APIRouter:
    """`/v1/actions`."""
    router = APIRouter(prefix="/v1/actions", tags=["actions"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def list_actions(
        *,
        request: Request,
        response: Response,
        asked: Annotated[_ActionsAsked, Depends()],
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[ActionShown]:
        """Actions of the newest run first, its newest first; all filters must fit."""
        place = cursors.read(cursor, keys=2)
        before = (place[0], place[1]) if place else None
        rows = await actions.list_page(caller, asked.filters(), before=before, rows=limit + 1)
        items = [ActionShown.of(row) for row in rows]
        return paged(request, response, items, limit, lambda action: (action.run, action.id))

    @router.get("/{action}", openapi_extra=who("read"))
    async def show_action(
        *,
        action: Id,
        whole: Annotated[
            bool, Query(description="All of a long conversation, not its last 300 parts.")
        ] = False,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> ActionDetail:
        """One action with its redacted request and answer; `earlier` counts parts left out."""
        return ActionDetail.of(await actions.show(caller, action, whole=whole))

    return router


class _ActionsAsked:
    """The filters of a list of actions."""

    def __init__(
        self,
        *,
        run: Annotated[
            str, Query(pattern=TEXT, max_length=64, description="Only of this run.")
        ] = "",
        agent: Annotated[Name | None, Query(description="Only of this agent.")] = None,
        team: Annotated[Name | None, Query(description="Only of this team.")] = None,
        kind: Annotated[Kind | None, Query(description="Model calls or tool calls.")] = None,
        state: Annotated[
            ActionState | None,
            Query(description="Only in this state; `in_doubt`: nobody can say what came of it."),
        ] = None,
        since: Since = None,
        until: Until = None,
    ) -> None:
        self._filters = ActionFilters(
            run=run,
            agent=agent or "",
            team=team or "",
            kind=kind or "",
            state=state or "",
            since=micros_of(since),
            until=micros_of(until),
        )

    def filters(self) -> ActionFilters:
        """As the service takes them."""
        return self._filters
