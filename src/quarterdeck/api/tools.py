"""Tools over HTTP: contracts in force, what their servers say of them, and releasing it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from quarterdeck.api import cursors, etags
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.etags import IfMatch
from quarterdeck.api.wire import (
    LIMIT,
    Cursor,
    Id,
    Limit,
    Page,
    Sent,
    Shown,
    StrictRoute,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.definition_diff import Change
from quarterdeck.domain.definition_signs import Sign
from quarterdeck.domain.people import Caller
from quarterdeck.services.definition_readings import ToolDetail, ToolReading
from quarterdeck.services.definitions import Definitions


class ChangeShown(Shown):
    """One place of a definition that changed, with its lines before and now."""

    place: str
    before: list[str]
    after: list[str]

    @classmethod
    def of(cls, change: Change) -> "ChangeShown":
        """From what was compared."""
        return cls(place=change.place, before=list(change.before), after=list(change.after))


class SignShown(Shown):
    """Something in a definition that a person should look at."""

    place: str
    what: str
    quote: str

    @classmethod
    def of(cls, sign: Sign) -> "SignShown":
        """From what was found."""
        return cls(place=sign.place, what=sign.what, quote=sign.quote)


class ReleaseShown(Shown):
    """A definition that an owner released."""

    hash: str
    by: str
    at: str


class ToolStateShown(Shown):
    """A contract. `state` is `ready` where no server has a say, `pinned` where it says what was
    granted; `drift`, `new` and `lookalike` are in quarantine, `gone` is not offered any more, and
    of `unknown` its server has not said yet. `offered` is the hash of what it says now.
    """

    name: str
    effect: str
    backend: str
    server: str
    tool: str
    state: str
    because: str
    offered: str
    granted: list[str]
    since: str | None
    agents: list[str]

    @classmethod
    def of(cls, reading: ToolReading) -> "ToolStateShown":
        """From what the service reads."""
        return cls(
            name=reading.name,
            effect=reading.effect,
            backend=reading.backend,
            server=reading.server,
            tool=reading.tool,
            state=reading.state,
            because=reading.because,
            offered=reading.offered,
            granted=list(reading.granted),
            since=time_of(reading.since),
            agents=list(reading.agents),
        )


class ToolStateDetail(ToolStateShown):
    """A contract with what to decide by. `compared` is false where the granted definition was never
    seen here: then `changes` are all that the offered one says.
    """

    description: str
    compared: bool
    changes: list[ChangeShown]
    signs: list[SignShown]
    released: list[ReleaseShown]

    @classmethod
    def of_detail(cls, found: ToolDetail) -> "ToolStateDetail":
        """From what the service reads."""
        return cls(
            **ToolStateShown.of(found.reading).model_dump(),
            description=found.description,
            compared=found.is_compared,
            changes=[ChangeShown.of(change) for change in found.changes],
            signs=[SignShown.of(sign) for sign in found.signs],
            released=[
                ReleaseShown(hash=r["hash"], by=r["released_by"], at=moment(r["released_at"]))
                for r in found.released
            ],
        )


class ReleaseAsked(Sent):
    """Which definition is released: the hash of the one that was looked at."""

    hash: str = Field(
        pattern=r"^sha256:[0-9a-f]{64}$",
        examples=["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


def routes(definitions: Definitions, callers: Callers) -> APIRouter:
    """`/v1/tools`."""
    router = APIRouter(prefix="/v1/tools", tags=["tools"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def list_tools(
        *,
        request: Request,
        response: Response,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[ToolStateShown]:
        """Contracts in force, by name, with the state of each."""
        after = cursors.read_one(cursor)
        items = [
            ToolStateShown.of(reading)
            for reading in await definitions.list_tools(caller)
            if reading.name > after
        ]
        return paged(request, response, items, limit, lambda tool: (tool.name,))

    @router.get("/{name}", openapi_extra=who("read"))
    async def show_tool(
        *, name: Id, response: Response, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> ToolStateDetail:
        """One contract: what changed in its definition, and what to look at before releasing it."""
        found = await definitions.show_tool(caller, name)
        if found.reading.offered:
            response.headers["etag"] = etags.written(found.reading.offered)
        return ToolStateDetail.of_detail(found)

    @router.post("/{name}/release", openapi_extra=who("apply"))
    async def release_tool(
        *,
        name: Id,
        body: ReleaseAsked,
        if_match: IfMatch = None,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> ToolStateShown:
        """Let exactly this definition out of quarantine; 412 if its server offers another now."""
        expected = etags.seen(if_match, None)
        return ToolStateShown.of(
            await definitions.release(caller, name, body.hash, expected=expected)
        )

    return router
