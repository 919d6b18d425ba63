"""Actions over HTTP, for reading. Asking for one is the data plane's `POST /v1/actions`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from quarterdeck.api.callers import Callers
from quarterdeck.api.shown import ActionDetail, ActionShown
from quarterdeck.api.wire import LIMIT, Limit, Page, StrictRoute
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.people import Caller
from quarterdeck.services.actions import Actions


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
