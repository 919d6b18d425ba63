"""What every response of the console carries, and which requests are turned away unread.

INVARIANT: no frame, foreign address, inline script or inline style, on any page, errors and files
included; nothing but our own files may run. What is said about the fleet is never cached.
A page of another site may point a browser here by a name it controls (DNS rebinding): only hosts
we were told about are answered. It may also post here: such a form is refused by what the browser
says of where it comes from, and by the token that only our pages carry.
"""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quarterdeck.domain.errors import Forbidden, Invalid, LimitExceeded
from quarterdeck.domain.limits import FORM_BYTES_MAX

LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "[::1]"))
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_KEPT: Final = "private, max-age=31536000, immutable"


class Perimeter:
    """Wraps the console: hosts first, headers on whatever comes out."""

    def __init__(
        self, app: ASGIApp, *, hosts: frozenset[str], stranger: Callable[[Request], Response]
    ) -> None:
        self._app = app
        self._hosts = frozenset(_bracketed(host) for host in hosts)
        self._stranger = stranger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                guard(
                    MutableHeaders(scope=message),
                    kept=message["status"] == 200 and _is_versioned(scope),
                )
            await send(message)

        request = Request(scope)
        if host_of(request) in self._hosts:
            await self._app(scope, receive, send_guarded)
        else:
            # Whoever reads this answer may not be one of ours: nothing that was sent goes into it.
            unread = Request({**scope, "headers": []})
            await self._stranger(unread)(scope, receive, send_guarded)


def guard(headers: MutableHeaders, *, kept: bool = False) -> None:
    """Put the console's security headers on a response; a `kept` file of ours may be cached."""
    for name, value in HEADERS.items():
        headers[name] = value
    if kept:
        headers["cache-control"] = _KEPT


def _is_versioned(scope: Scope) -> bool:
    """Whether a file of ours is asked for by an address that changes with what is in it."""
    return "/static/" in scope["path"] and scope.get("query_string", b"").startswith(b"v=")


def host_of(request: Request) -> str:
    """The host a request names, without its port; empty if it names none or two."""
    named = request.headers.getlist("host")
    if len(named) != 1:
        return ""
    host = named[0].strip().lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0]


def _bracketed(host: str) -> str:
    """A configured host as requests write it: IPv6 addresses stand in brackets."""
    host = host.strip().lower()
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


async def posted(request: Request) -> dict[str, str]:
    """The fields of a form posted by one of our own pages."""
    _check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0] != _FORM:
        raise Invalid("this is not a form", hint="use the button on the page")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise LimitExceeded(f"a form has at most {FORM_BYTES_MAX} bytes")
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
    return {name: values[-1] for name, values in fields.items()}


_FORM: Final = "application/x-www-form-urlencoded"


def _check_origin(request: Request) -> None:
    """Refuse what a browser says comes from elsewhere.

    Our pages ask for `no-referrer`, so browsers send `Origin: null` with our own forms; what they
    say then is in Sec-Fetch-Site, but not over plain http to another machine. Where neither header
    says anything the form's token still decides, and no other site can know that.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin", "null")
    if site is not None:
        own = site == "same-origin"
    else:
        own = origin == "null" or urlsplit(origin).netloc == request.headers.get("host")
    if not own:
        raise Forbidden(
            "this form was sent by another site",
            hint="open the console itself and use the button there",
        )
