"""One-time links into the console, for a person who is identified already."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Request

from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import Shown, StrictRoute
from quarterdeck.domain.people import Caller, authorise

#: From the address of this server and a person to a link that signs them in once.
MakeLink: TypeAlias = Callable[[str, Caller], str]


class LinkShown(Shown):
    """A link that signs its holder in once."""

    url: str


def routes(make_link: MakeLink, callers: Callers) -> APIRouter:
    """`/v1/sign-in-links`."""
    router = APIRouter(prefix="/v1/sign-in-links", tags=["sign-in"], route_class=StrictRoute)

    @router.post("", status_code=201, openapi_extra=who("read"))
    async def make(
        *, request: Request, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> LinkShown:
        """A link into the console that works once, within 15 minutes."""
        authorise(caller, "read")
        return LinkShown(url=make_link(str(request.base_url).rstrip("/"), caller))

    return router
