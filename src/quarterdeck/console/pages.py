"""Renders page models: one environment, strict and escaping, one frame around every page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from quarterdeck.console.perimeter import guard
from quarterdeck.console.plain import line
from quarterdeck.console.session import COOKIE, PREFIX, Session, Sessions
from quarterdeck.console.views import NoticePage
from quarterdeck.domain.errors import QuarterdeckError, Unidentified

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds every page."""

    prefix: str
    signed_in: str
    form_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Answers with pages."""

    sessions: Sessions
    environment: Environment

    def session_of(self, request: Request) -> Session | None:
        """The session a request carries, if it is good."""
        cookie = request.cookies.get(COOKIE)
        return None if cookie is None else self.sessions.find_session(cookie)

    def signed_in(self, request: Request) -> Session:
        """The session a request carries, or Unidentified."""
        session = self.session_of(request)
        if session is None:
            raise Unidentified(
                "you are not signed in, or your session is over",
                hint="get a link that signs you in once, and open it in this browser:",
            )
        return session

    def answer(
        self, request: Request, template: str, page: object, *, status: int = 200
    ) -> HTMLResponse:
        """A page around a model."""
        session = self.session_of(request)
        frame = Frame(
            prefix=PREFIX,
            signed_in="" if session is None else line(session.caller.id, 80),
            form_token="" if session is None else self.sessions.form_token(session),
        )
        html = self.environment.get_template(template).render(page=page, frame=frame)
        response = HTMLResponse(html, status_code=status)
        # The answer to a bug is made outside of the perimeter: it brings its headers itself.
        guard(response.headers)
        return response

    def notice(self, request: Request, page: NoticePage, *, status: int) -> HTMLResponse:
        """A page that only says something."""
        return self.answer(request, "notice.html", page, status=status)

    def failure(self, request: Request, error: QuarterdeckError) -> HTMLResponse:
        """An operating error as a page."""
        status = STATUS.get(error.code, 500)
        page = NoticePage(
            title=_TITLES.get(status, "Something is wrong"),
            message=_sentence(error.message),
            hint=_sentence(error.hint),
            commands=NEW_LINK if isinstance(error, Unidentified) else (),
        )
        return self.notice(request, page, status=status)

    def status(self, request: Request, status: int, message: str, hint: str) -> HTMLResponse:
        """A page for an HTTP status that no operating error stands for."""
        title = _TITLES.get(status, "Something is wrong")
        page = NoticePage(title=title, message=message, hint=hint)
        return self.notice(request, page, status=status)


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
