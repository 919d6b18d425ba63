"""Suggestions over HTTP: writes that were not made, for people to carry out or put aside."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.actions import ReasonShown
from quarterdeck.api.approvals import ConsequencesShown
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import (
    LIMIT,
    Cursor,
    DismissalAsked,
    Id,
    Limit,
    Name,
    Page,
    Shown,
    StrictRoute,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.people import Caller
from quarterdeck.services.suggestions import Suggestions

SuggestionState: TypeAlias = Literal["open", "carried_out", "dismissed"]
_SAME: Final = (
    "id", "state", "run", "agent", "team", "revision", "target", "decided_by", "because",
    "carried_run", "carried_action", "void_because",
)  # fmt: skip


class SuggestionShown(Shown):
    """A write that was not made; its id is its action's. `carried_action` is the one that was.

    The state is `void` while nobody can carry it out any more: `void_because` says why.
    """

    id: str
    state: str
    run: str
    agent: str
    team: str
    revision: str
    target: str
    consequences: ConsequencesShown
    made_at: str
    decided_at: str | None
    decided_by: str | None
    because: str | None
    carried_run: str | None
    carried_action: str | None
    void_because: str | None

    @classmethod
    def fields_of(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """What every view of a suggestion has, from what the service answers."""
        return {
            **{name: row[name] for name in _SAME},
            "consequences": ConsequencesShown(**row["consequences"]),
            "made_at": moment(row["made_at"]),
            "decided_at": time_of(row["decided_at"]),
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "SuggestionShown":
        """From what the service lists."""
        return cls(**cls.fields_of(row))


class SuggestionDetail(SuggestionShown):
    """A suggestion with the redacted arguments and the rules that made it one."""

    arguments: Any
    reasons: list[ReasonShown]
    labels: list[str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "SuggestionDetail":
        """From what the service shows."""
        more = {name: row[name] for name in ("arguments", "reasons", "labels")}
        return cls(**cls.fields_of(row), **more)


class SuggestionRevealed(Shown):
    """The exact arguments; that somebody looked at them is in the ledger."""

    id: str
    arguments: Any


class CarriedShown(Shown):
    """What came of carrying a suggestion out: its run and action, and how that ended."""

    suggestion: str
    run: str
    action: str
    state: str
    because: str


def routes(suggestions: Suggestions, callers: Callers) -> APIRouter:
    """`/v1/suggestions`."""
    router = APIRouter(prefix="/v1/suggestions", tags=["suggestions"], route_class=StrictRoute)
    _add_reading(router, suggestions, callers)

    @router.post("/{suggestion}/carry-out", openapi_extra=who("approve"))
    async def carry_out_suggestion(
        *, suggestion: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> CarriedShown:
        """Make the call that was suggested, once: checked anew in all but the autonomy level."""
        return CarriedShown(**asdict(await suggestions.carry_out(caller, suggestion)))

    @router.post("/{suggestion}/dismiss", status_code=204, openapi_extra=who("approve"))
    async def dismiss_suggestion(
        *,
        suggestion: Id,
        body: DismissalAsked,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> None:
        """Put a suggestion aside; it can then be carried out no more."""
        await suggestions.dismiss(caller, suggestion, because=body.because)

    @router.post("/{suggestion}/reveal", openapi_extra=who("approve"))
    async def reveal_suggestion(
        *, suggestion: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> SuggestionRevealed:
        """The exact arguments, for whoever may carry it out; the ledger says who looked."""
        return SuggestionRevealed(**await suggestions.reveal(caller, suggestion))

    return router


def _add_reading(router: APIRouter, suggestions: Suggestions, callers: Callers) -> None:
    @router.get("", openapi_extra=who("read"))
    async def list_suggestions(
        *,
        request: Request,
        response: Response,
        state: Annotated[SuggestionState | None, Query(description="Only in this state.")] = None,
        agent: Annotated[Name | None, Query(description="Only of this agent.")] = None,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[SuggestionShown]:
        """Suggestions, newest first; all filters must fit."""
        rows = await suggestions.list_page(
            caller,
            states=(state,) if state else (),
            agent=agent or "",
            before=cursors.read_one(cursor),
            rows=limit + 1,
        )
        items = [SuggestionShown.of(row) for row in rows]
        return paged(request, response, items, limit, lambda suggestion: (suggestion.id,))

    @router.get("/{suggestion}", openapi_extra=who("read"))
    async def show_suggestion(
        *, suggestion: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> SuggestionDetail:
        """One suggestion with its redacted arguments."""
        return SuggestionDetail.of(await suggestions.show(caller, suggestion))
