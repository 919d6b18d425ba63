"""Actions over HTTP, for reading. Asking for one is the data plane's `POST /v1/actions`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from quarterdeck.api.callers import Callers
from quarterdeck.api.wire import LIMIT, Limit, Page, Shown, StrictRoute, moment, time_of
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.money import usd
from quarterdeck.domain.people import Caller
from quarterdeck.services.actions import Actions

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


class ActionDetail(ActionShown):
    """An action with its redacted request and answer."""

    request: Any
    response: Any

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ActionDetail":
        """From what the service shows."""
        return cls(**cls.fields_of(row), request=row["request"], response=row["response"])


def routes(actions: Actions, callers: Callers) -> APIRouter:
    """`/v1/actions`."""
    router = APIRouter(prefix="/v1/actions", tags=["actions"], route_class=StrictRoute)

    @router.get("")
    async def list_in_doubt(
        *,
        in_doubt: Annotated[bool, Query(description="must be `true`")] = False,
        limit: Limit = LIMIT,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[ActionShown]:
        """Actions nobody can say took place or not, oldest first."""
        if not in_doubt:
            raise Invalid(
                "actions are listed by run, or those in doubt",
                hint="use /v1/runs/RUN/actions, or ?in_doubt=true",
            )
        return Page(items=[ActionShown.of(r) for r in await actions.list_in_doubt(caller, limit)])

    @router.get("/{action}")
    async def show_action(
        *, action: str, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> ActionDetail:
        """One action with its redacted request and answer."""
        return ActionDetail.of(await actions.show(caller, action))

    return router
