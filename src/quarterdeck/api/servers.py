"""Servers over HTTP: where tools live, what each offers, and whether it can be asked."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.tools import SignShown
from quarterdeck.api.wire import (
    LIMIT,
    Cursor,
    Id,
    Limit,
    Page,
    Shown,
    SignInAnswered,
    SignInAsked,
    StrictRoute,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.consents import ConsentState
from quarterdeck.domain.people import Caller
from quarterdeck.services.consents import ConsentReading, Consents
from quarterdeck.services.definition_readings import OfferReading, ServerReading
from quarterdeck.services.definitions import Definitions


class ConsentShown(Shown):
    """What somebody granted at a server, without a word of what it was granted by.

    `state`: `granted`, `ended`, `refused` (not renewed by its issuer) or `nobody`. `until` is the
    end of the present token; `renews`: another one takes its place by itself.
    """

    state: ConsentState
    because: str
    issuer: str
    secret: str
    by: str
    at: str | None
    until: str | None
    renews: bool
    scopes: list[str]

    @classmethod
    def of(cls, reading: ConsentReading) -> "ConsentShown":
        """From what the service reads."""
        return cls(
            state=reading.state,
            because=reading.because,
            issuer=reading.issuer,
            secret=reading.secret,
            by=reading.by,
            at=time_of(reading.at),
            until=time_of(reading.until),
            renews=reading.renews,
            scopes=list(reading.scopes),
        )


class ServerShown(Shown):
    """A server of the fleet. `problem` is empty while the process that answers can ask it.

    `consent` is null where nobody has to sign in.
    """

    name: str
    protocol: str
    where: str
    version: str
    problem: str
    listed_at: str | None
    running: bool | None
    tools: int
    quarantined: int
    contracts: list[str]
    consent: ConsentShown | None

    @classmethod
    def of(cls, reading: ServerReading, consent: ConsentReading | None) -> "ServerShown":
        """From what the service reads."""
        return cls(
            name=reading.name,
            protocol=reading.protocol,
            where=reading.where,
            version=reading.version,
            problem=reading.problem,
            listed_at=time_of(reading.listed_at),
            running=reading.is_running,
            tools=reading.tools,
            quarantined=reading.quarantined,
            contracts=list(reading.contracts),
            consent=None if consent is None else ConsentShown.of(consent),
        )


class OfferShown(Shown):
    """A tool that a server offers, or offered; without a contract nobody can call it."""

    tool: str
    contract: str
    state: str
    because: str
    hash: str
    since: str
    description: str
    signs: list[SignShown]

    @classmethod
    def of(cls, reading: OfferReading) -> "OfferShown":
        """From what the service reads."""
        return cls(
            tool=reading.tool,
            contract=reading.contract,
            state=reading.state,
            because=reading.because,
            hash=reading.hash,
            since=moment(reading.since),
            description=reading.description,
            signs=[SignShown.of(sign) for sign in reading.signs],
        )


class ServerDetail(ServerShown):
    """A server with every tool that it offers or offered."""

    offers: list[OfferShown]


class SignInShown(Shown):
    """Where somebody signs in."""

    url: str


def routes(definitions: Definitions, consents: Consents, callers: Callers) -> APIRouter:
    """`/v1/servers`."""
    router = APIRouter(prefix="/v1/servers", tags=["servers"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def list_servers(
        *,
        request: Request,
        response: Response,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[ServerShown]:
        """Servers of the fleet in force, by name."""
        after = cursors.read_one(cursor)
        granted = {consent.server: consent for consent in await consents.list_all(caller)}
        items = [
            ServerShown.of(reading, granted.get(reading.name))
            for reading in await definitions.list_servers(caller)
            if reading.name > after
        ]
        return paged(request, response, items, limit, lambda server: (server.name,))

    @router.get("/{name}", openapi_extra=who("read"))
    async def show_server(
        *, name: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> ServerDetail:
        """One server, and every tool that it offers or offered."""
        reading, offers = await definitions.show_server(caller, name)
        consent = await consents.find(caller, name)
        return ServerDetail(
            **dict(ServerShown.of(reading, consent)),
            offers=[OfferShown.of(offer) for offer in offers],
        )

    @router.post("/{name}/sign-in", openapi_extra=who("secrets"))
    async def ask_for_consent(
        *, name: Id, body: SignInAsked, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> SignInShown:
        """Where the caller signs in, so that we may act for them at a server."""
        return SignInShown(url=await consents.ask(caller, name, body.redirect_uri))

    @router.post("/{name}/sign-in/answer", openapi_extra=who("secrets"))
    async def receive_consent(
        *, name: Id, body: SignInAnswered, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> ConsentShown:
        """Keep what was granted, by the address that the browser was sent back to."""
        return ConsentShown.of(await consents.receive(caller, name, body.url))

    @router.delete("/{name}/sign-in", status_code=204, openapi_extra=who("secrets"))
    async def withdraw_consent(
        *, name: Id, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> None:
        """Forget what was granted. Its issuer is not told: end it there too, if it matters."""
        await consents.withdraw(caller, name)

    return router
