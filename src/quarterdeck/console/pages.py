"""Renders page models: one environment, strict and escaping, one frame around every page."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from quarterdeck.console.perimeter import guard
from quarterdeck.console.plain import line
from quarterdeck.console.session import COOKIE, PREFIX, Session, Sessions
from quarterdeck.console.views import NoticePage
from quarterdeck.domain.errors import Forbidden, QuarterdeckError, Unidentified
from quarterdeck.domain.people import Caller
from quarterdeck.services.sessions import EndedSessions

STATUS: Final[Mapping[str, int]] = {
    "invalid": 400,
    "unidentified": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "limit_exceeded": 413,
    "unavailable": 503,
    "corrupt": 500,
}
_TITLES: Final[Mapping[int, str]] = {
    400: "That does not fit",
    401: "Sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "That contradicts the record",
    413: "Too large",
    421: "Unknown address",
    503: "Not available",
}
NEW_LINK: Final = ("quarterdeck console",)
ZONE_COOKIE: Final = "quarterdeck_zone"  # written by our script: the browser's own time zone
THEME_COOKIE: Final = "quarterdeck_theme"
_THEMES: Final = frozenset(("light", "dark"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request: who makes it, and how they read times and colours."""

    request: Request
    session: Session | None
    now: datetime
    theme: str = ""

    @property
    def caller(self) -> Caller:
        """Who is signed in, or Unidentified."""
        return self.signed_in.caller

    @property
    def signed_in(self) -> Session:
        """The session, or Unidentified."""
        if self.session is None:
            raise Unidentified(
                "you are not signed in, or your session is over",
                hint="get a link that signs you in once, and open it in this browser:",
            )
        return self.session


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds every page."""

    prefix: str
    signed_in: str
    form_token: str
    theme: str
    zone: str
    section: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Answers with pages."""

    sessions: Sessions
    ended: EndedSessions
    environment: Environment
    versions: Mapping[str, str] = field(default_factory=lambda: versions())

    async def visit(self, request: Request) -> Visit:
        """Who asks; whoever signed out of a session, in any process, is nobody."""
        cookie = request.cookies.get(COOKIE)
        session = None if cookie is None else self.sessions.find_session(cookie)
        if session is not None and await self.ended.has_ended(session.id):
            session = None
        return self._visit(request, session)

    def _visit(self, request: Request, session: Session | None) -> Visit:
        zone = _zone(request.cookies.get(ZONE_COOKIE, ""))
        theme = request.cookies.get(THEME_COOKIE, "")
        return Visit(
            request=request,
            session=session,
            now=self.sessions.clock.now().astimezone(zone),
            theme=theme if theme in _THEMES else "",
        )

    def answer(
        self, visit: Visit, template: str, page: object, *, status: int = 200
    ) -> HTMLResponse:
        """A page around a model."""
        session = visit.session
        frame = Frame(
            prefix=PREFIX,
            signed_in="" if session is None else line(session.caller.id, 80),
            form_token="" if session is None else self.sessions.form_token(session),
            theme=visit.theme,
            zone=visit.now.tzname() or "UTC",
            section=getattr(page, "section", ""),
            versions=self.versions,
        )
        html = self.environment.get_template(template).render(page=page, frame=frame)
        response = HTMLResponse(html, status_code=status)
        # The answer to a bug is made outside of the perimeter: it brings its headers itself.
        guard(response.headers)
        return response

    def check_form(self, visit: Visit, fields: Mapping[str, str]) -> None:
        """Refuse a form that no page of this session carried."""
        if not self.sessions.fits_form(visit.signed_in, fields.get("form_token", "")):
            raise Forbidden(
                "this form does not belong to your session",
                hint="go back to the console, load the page again and use its button",
            )

    def notice(self, visit: Visit, page: NoticePage, *, status: int) -> HTMLResponse:
        """A page that only says something."""
        return self.answer(visit, "notice.html", page, status=status)

    async def failure(self, request: Request, error: QuarterdeckError) -> HTMLResponse:
        """An operating error as a page."""
        status = STATUS.get(error.code, 500)
        page = NoticePage(
            title=_TITLES.get(status, "Something is wrong"),
            message=_sentence(error.message),
            hint=_sentence(error.hint),
            commands=NEW_LINK if isinstance(error, Unidentified) else (),
        )
        return self.notice(await self.visit(request), page, status=status)

    async def status(self, request: Request, status: int, message: str, hint: str) -> HTMLResponse:
        """A page for an HTTP status that no operating error stands for."""
        return self.plain_status(await self.visit(request), status, message, hint)

    def plain_status(self, visit: Visit, status: int, message: str, hint: str) -> HTMLResponse:
        """The same without asking who it is: where the database may be what is broken."""
        title = _TITLES.get(status, "Something is wrong")
        return self.notice(
            visit, NoticePage(title=title, message=message, hint=hint), status=status
        )

    def nobody(self, request: Request) -> Visit:
        """A visit of somebody we do not look at."""
        return self._visit(request, None)


def _zone(name: str) -> tzinfo:
    """A browser's time zone; UTC where it names none that this machine knows."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError):
        return UTC


def versions() -> dict[str, str]:
    """The files of the console by a hash of what is in them, for addresses that never go stale."""
    folder = resources.files("quarterdeck.console") / "static"
    names = ("console.css", "mark.svg", "built/console.js", "built/plots.js", "built/plots.css")
    found = {}
    for name in names:
        path = folder.joinpath(name)
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return found


def environment() -> Environment:
    """Templates that escape everything and fail on a name they do not know."""
    return Environment(
        loader=PackageLoader("quarterdeck.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _sentence(text: str) -> str:
    """A lower-case message as a sentence on a page."""
    shown = line(text)
    if not shown:
        return ""
    stop = "" if shown.endswith((".", "!", "?", ":", "…")) else "."
    return f"{shown[0].upper()}{shown[1:]}{stop}"
