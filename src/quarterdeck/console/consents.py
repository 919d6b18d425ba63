"""Sign-ins at servers: who granted what, until when, and withdrawing it.

A token is on no page. Signing in takes a port of the person's own machine, so it is the command
that does it; withdrawing is a button, for owners.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarterdeck.console.pages import Pages
from quarterdeck.console.perimeter import posted
from quarterdeck.console.plain import Moment, line, moment
from quarterdeck.console.views import Badge, Tone, command, server_href
from quarterdeck.services import Services
from quarterdeck.services.consents import ConsentReading

_BADGES: Final[dict[str, tuple[str, Tone]]] = {
    "granted": ("granted", "good"),
    "ended": ("ended", "bad"),
    "refused": ("refused", "bad"),
    "nobody": ("nobody yet", "warn"),
}
_ORDER: Final = {"refused": 0, "ended": 1, "nobody": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRow:
    """A sign-in at a server; `until` is the end of the present token."""

    server: str
    href: str
    state: Badge
    is_granted: bool
    because: str
    issuer: str
    secret: str
    by: str
    at: Moment | None
    until: Moment | None
    renews: bool
    scopes: tuple[str, ...]
    command: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentPages:
    """What is done about sign-ins; they are shown on the pages of tools and servers."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/servers/{server}/sign-out", self.sign_out, methods=["POST"])]

    async def sign_out(self, request: Request) -> Response:
        """Withdraw what was granted at a server."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        server = request.path_params["server"]
        await self.services.consents.withdraw(visit.caller, server)
        return RedirectResponse(server_href(server), status_code=303)


def consent_rows(
    consents: Sequence[ConsentReading], now: datetime, *, may_withdraw: bool = False
) -> tuple[ConsentRow, ...]:
    """Those that want somebody first."""
    ordered = sorted(consents, key=lambda one: _ORDER.get(one.state, 9))
    return tuple(_row(one, now, may_withdraw=may_withdraw) for one in ordered)


def _row(consent: ConsentReading, now: datetime, *, may_withdraw: bool) -> ConsentRow:
    words, tone = _BADGES[consent.state]
    is_kept = consent.state != "nobody"
    return ConsentRow(
        server=line(consent.server, 64),
        href=server_href(consent.server),
        state=Badge(text=words, tone=tone),
        is_granted=consent.state == "granted",
        because=line(consent.because, 300),
        issuer=line(consent.issuer, 200),
        secret=line(consent.secret, 64),
        by=line(consent.by, 80),
        at=None if consent.at is None else moment(consent.at, now),
        until=None if consent.until is None else moment(consent.until, now),
        renews=consent.renews,
        scopes=tuple(line(scope, 80) for scope in consent.scopes),
        command=command("servers", "sign-in", consent.server),
        form=f"{server_href(consent.server)}/sign-out" if is_kept and may_withdraw else "",
    )
