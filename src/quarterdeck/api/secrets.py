"""Secrets over HTTP: set, list by name, remove. There is no route that reads a value."""

from typing import Annotated

from fastapi import APIRouter, Depends

from quarterdeck.api.callers import Callers
from quarterdeck.api.wire import Page, SecretAsked, Shown, StrictRoute, moment
from quarterdeck.domain.people import Caller
from quarterdeck.services.secrets import Secrets


class SecretShown(Shown):
    """A secret's name; its value is never shown."""

    name: str
    set_at: str


def routes(secrets: Secrets, callers: Callers) -> APIRouter:
    """`/v1/secrets`."""
    router = APIRouter(prefix="/v1/secrets", tags=["secrets"], route_class=StrictRoute)

    @router.get("")
    async def list_secrets(
        *, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> Page[SecretShown]:
        """Names and when each was set."""
        rows = await secrets.list_names(caller)
        return Page(items=[SecretShown(name=r["name"], set_at=moment(r["set_at"])) for r in rows])

    @router.put("/{name}", status_code=204)
    async def set_secret(
        *, name: str, body: SecretAsked, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> None:
        """Set or replace a secret."""
        await secrets.put(caller, name, body.value)

    @router.delete("/{name}", status_code=204)
    async def remove_secret(
        *, name: str, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> None:
        """Forget a secret."""
        await secrets.remove(caller, name)

    return router
