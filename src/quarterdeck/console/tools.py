"""Tools and servers: the state of each, what is in quarantine, and letting it out.

What a server says is text from outside: it is shown inert, with what is invisible written out, and
the button releases exactly the definition that was shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarterdeck.console.consents import ConsentRow, consent_rows
from quarterdeck.console.pages import Pages, Visit
from quarterdeck.console.perimeter import posted
from quarterdeck.console.plain import Moment, line, moment
from quarterdeck.console.views import Badge, Link, Tone, server_href, tool_href
from quarterdeck.domain.errors import Conflict
from quarterdeck.domain.people import roles_with
from quarterdeck.services import Services
from quarterdeck.services.definition_readings import (
    RELEASABLE,
    OfferReading,
    ServerReading,
    ToolDetail,
    ToolReading,
)

_TONES: Final[dict[str, Tone]] = {
    "ready": "good",
    "pinned": "good",
    "drift": "bad",
    "lookalike": "bad",
    "new": "warn",
    "gone": "warn",
    "unknown": "calm",
}
_ORDER: Final = {"drift": 0, "lookalike": 1, "new": 2, "gone": 3, "unknown": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """A tool as one line."""

    name: str
    href: str
    state: Badge
    because: str
    effect: str
    at: str
    agents: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRow:
    """A server as one line."""

    name: str
    href: str
    state: Badge
    words: str
    where: str
    tools: str
    quarantined: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsPage:
    """All tools, those in quarantine first, and the servers they live at."""

    tools: tuple[ToolRow, ...]
    servers: tuple[ServerRow, ...]
    consents: tuple[ConsentRow, ...]
    section: str = "tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBlock:
    """One place that changed."""

    place: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRow:
    """Something to look at."""

    place: str
    what: str
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """What an owner released."""

    hash: str
    by: str
    at: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPage:
    """One tool, with what to decide by."""

    name: str
    state: Badge
    because: str
    description: str
    effect: str
    at: Link | None
    offered: str
    granted: tuple[str, ...]
    since: Moment | None
    agents: tuple[str, ...]
    is_compared: bool
    changes: tuple[ChangeBlock, ...]
    signs: tuple[SignRow, ...]
    released: tuple[ReleaseRow, ...]
    form: str
    alert: str
    section: str = "tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRow:
    """A tool that a server offers, as one line."""

    tool: str
    href: str
    state: Badge
    because: str
    description: str
    signs: tuple[SignRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPage:
    """One server, and what it offers."""

    server: ServerRow
    version: str
    looked: Moment | None
    consent: ConsentRow | None
    offers: tuple[OfferRow, ...]
    section: str = "tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPages:
    """The pages of tools and servers."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/tools", self.list_page, methods=["GET"]),
            Route("/tools/{tool}", self.show, methods=["GET"]),
            Route("/tools/{tool}/release", self.release, methods=["POST"]),
            Route("/servers/{server}", self.show_server, methods=["GET"]),
        ]

    async def list_page(self, request: Request) -> Response:
        """All tools and servers."""
        visit = await self.pages.visit(request)
        definitions = self.services.definitions
        tools = await definitions.list_tools(visit.caller)
        servers = await definitions.list_servers(visit.caller)
        consents = consent_rows(await self.services.consents.list_all(visit.caller), visit.now)
        return self.pages.answer(visit, "tools.html", tools_page(tools, servers, consents))

    async def show(self, request: Request) -> Response:
        """One tool."""
        visit = await self.pages.visit(request)
        return await self._shown(visit, request.path_params["tool"])

    async def release(self, request: Request) -> Response:
        """Let the definition that was shown out of quarantine."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        tool = request.path_params["tool"]
        try:
            await self.services.definitions.release(visit.caller, tool, fields.get("hash", ""))
        except Conflict as error:
            return await self._shown(visit, tool, alert=error.message)
        return RedirectResponse(tool_href(tool), status_code=303)

    async def show_server(self, request: Request) -> Response:
        """One server, and every tool that it offers or offered."""
        visit = await self.pages.visit(request)
        name = request.path_params["server"]
        reading, offers = await self.services.definitions.show_server(visit.caller, name)
        consent = await self.services.consents.find(visit.caller, name)
        may = visit.caller.role in roles_with("secrets") and visit.caller.team is None
        found = () if consent is None else consent_rows([consent], visit.now, may_withdraw=may)
        page = server_page(reading, offers, visit.now, consent=next(iter(found), None))
        return self.pages.answer(visit, "server.html", page)

    async def _shown(self, visit: Visit, tool: str, *, alert: str = "") -> Response:
        detail = await self.services.definitions.show_tool(visit.caller, tool)
        may = visit.caller.role in roles_with("apply") and visit.caller.team is None
        page = tool_page(detail, visit.now, may_release=may, alert=alert)
        return self.pages.answer(visit, "tool.html", page, status=409 if alert else 200)


def tools_page(
    tools: Sequence[ToolReading],
    servers: Sequence[ServerReading],
    consents: tuple[ConsentRow, ...],
) -> ToolsPage:
    """What is in quarantine first."""
    ordered = sorted(tools, key=lambda tool: _ORDER.get(tool.state, 9))
    return ToolsPage(
        tools=tuple(
            ToolRow(
                name=line(tool.name, 64),
                href=tool_href(tool.name),
                state=_badge(tool.state),
                because=line(tool.because, 200),
                effect=tool.effect,
                at=_at(tool),
                agents=line(", ".join(tool.agents), 200),
            )
            for tool in ordered
        ),
        servers=tuple(
            _server_row(server, next((c for c in consents if c.server == server.name), None))
            for server in servers
        ),
        consents=consents,
    )


def tool_page(detail: ToolDetail, now: datetime, *, may_release: bool, alert: str) -> ToolPage:
    """One tool; the form is there only for who may use it, and only where there is a use."""
    reading = detail.reading
    is_releasable = reading.state in RELEASABLE and bool(reading.offered)
    at = Link(text=_at(reading), href=server_href(reading.server)) if reading.server else None
    return ToolPage(
        name=line(reading.name, 64),
        state=_badge(reading.state),
        because=line(reading.because, 200),
        description=line(detail.description, 300),
        effect=reading.effect,
        at=at,
        offered=reading.offered,
        granted=reading.granted,
        since=None if reading.since is None else moment(reading.since, now),
        agents=tuple(line(agent, 64) for agent in reading.agents),
        is_compared=detail.is_compared,
        changes=tuple(
            ChangeBlock(
                place=line(change.place, 200),
                before=tuple(line(text, 1000) for text in change.before),
                after=tuple(line(text, 1000) for text in change.after),
            )
            for change in detail.changes
        ),
        signs=tuple(
            SignRow(place=line(s.place, 200), what=line(s.what, 200), quote=line(s.quote, 200))
            for s in detail.signs
        ),
        released=tuple(
            ReleaseRow(
                hash=r["hash"], by=line(r["released_by"], 80), at=moment(r["released_at"], now)
            )
            for r in detail.released
        ),
        form=f"{tool_href(reading.name)}/release" if is_releasable and may_release else "",
        alert=line(alert, 300),
    )


def server_page(
    reading: ServerReading,
    offers: Sequence[OfferReading],
    now: datetime,
    *,
    consent: ConsentRow | None = None,
) -> ServerPage:
    """A server with what it offers."""
    return ServerPage(
        server=_server_row(reading, consent),
        version=line(f"{reading.protocol} {reading.version}".strip(), 80),
        looked=None if reading.listed_at is None else moment(reading.listed_at, now),
        consent=consent,
        offers=tuple(
            OfferRow(
                tool=line(offer.tool, 128),
                href=tool_href(offer.contract) if offer.contract else "",
                state=_badge(offer.state),
                because=line(offer.because, 200),
                description=line(offer.description, 300),
                signs=tuple(
                    SignRow(
                        place=line(s.place, 200), what=line(s.what, 200), quote=line(s.quote, 200)
                    )
                    for s in offer.signs
                ),
            )
            for offer in sorted(offers, key=lambda offer: _ORDER.get(offer.state, 9))
        ),
    )


def _server_row(server: ServerReading, consent: ConsentRow | None) -> ServerRow:
    state, words = Badge(text="not looked at", tone="calm"), ""
    if consent is not None and not consent.is_granted:
        state = Badge(text="signed out", tone="warn")
    elif server.problem:
        state, words = Badge(text="away", tone="bad"), line(server.problem, 300)
    elif server.protocol != "mcp":
        state = Badge(text="called when used", tone="calm")
    elif server.is_running is False:
        state = Badge(text="sleeping", tone="calm")
    elif server.listed_at is not None:
        state = Badge(text="answers", tone="good")
    return ServerRow(
        name=line(server.name, 64),
        href=server_href(server.name),
        state=state,
        words=words,
        where=line(server.where, 200),
        tools=f"{server.tools:,}",
        quarantined=f"{server.quarantined:,}" if server.quarantined else "",
    )


def _badge(state: str) -> Badge:
    return Badge(text=state, tone=_TONES.get(state, "calm"))


def _at(tool: ToolReading) -> str:
    if tool.backend == "mcp":
        return line(f"{tool.tool} at {tool.server}", 200)
    return line(tool.server or tool.backend, 200)
