"""Consents: an owner signs in at an MCP server's issuer, and what is granted is kept as a secret.

The question is asked here and answered here, by the same process; in between is a browser. Neither
question nor answer is kept; a token is seen by nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.consents import Asked, Granted
from quarterdeck.domain.errors import Conflict, Invalid, NotFound
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.limits import CONSENT_SECONDS_MAX, CONSENTS_PENDING_MAX
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.domain.servers import Server
from quarterdeck.services.secrets import Secrets

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Issuers(Protocol):
    """Who asks issuers, and exchanges answers."""

    async def ask(self, server: Server, redirect_uri: str) -> Asked:
        """What to ask a person."""

    async def receive(self, server: Server, asked: Asked, answer_url: str) -> Granted:
        """Tokens for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consents:
    """The use cases of consents."""

    bindings: Bindings
    secrets: Secrets
    issuers: Issuers
    #: Tells this process at once that a server may answer now; the others try by themselves.
    opened: Callable[[Server], None]
    _pending: dict[str, tuple[float, ServerName, Asked]] = field(default_factory=dict, repr=False)

    async def ask(self, caller: Caller, name: str, redirect_uri: str) -> str:
        """Where the caller signs in, and is sent back from to a port of their own machine."""
        authorise_whole(caller, "secrets")
        server = await self._server(name)
        _check_redirect(redirect_uri)
        asked = await self.issuers.ask(server, redirect_uri)
        if len(self._pending) >= CONSENTS_PENDING_MAX:
            self._pending.pop(next(iter(self._pending)))
        self._pending[asked.state] = (self.secrets.clock.monotonic(), server.name, asked)
        return asked.url

    async def receive(self, caller: Caller, name: str, answer_url: str) -> tuple[str, ...]:
        """Take the URL the caller was sent back to, and keep what was granted; its scopes."""
        authorise_whole(caller, "secrets")
        server = await self._server(name)
        asked = self._asked(server, answer_url)
        granted = await self.issuers.receive(server, asked, answer_url)
        assert server.secret is not None, "the fleet says where it is kept"
        await self.secrets.put(caller, server.secret, granted.kept())
        self.opened(server)
        return granted.scopes

    def _asked(self, server: Server, answer_url: str) -> Asked:
        """What was asked, once: an answer counts for one question and is used up by it."""
        states = parse_qs(urlsplit(answer_url).query).get("state", [])
        found = self._pending.pop(states[0], None) if len(states) == 1 else None
        if found is None or found[1] != server.name:
            raise Conflict(
                "that answers no question of this process",
                hint=f"run: quarterdeck servers sign-in {server.name}",
            )
        if self.secrets.clock.monotonic() - found[0] > CONSENT_SECONDS_MAX:
            raise Conflict("that answer came too late", hint="sign in again")
        return found[2]

    async def _server(self, name: str) -> Server:
        fleet = await self.bindings.in_force()
        server = None if fleet is None else fleet.servers.get(ServerName(name))
        if server is None:
            raise NotFound(f"no server `{name}`", hint="see `quarterdeck servers list`")
        if server.consent is None:
            raise Invalid(
                f"nobody signs in at server `{name}`",
                hint=f"write `consent:` with its issuer into servers/{name}.yaml",
            )
        return server


def _check_redirect(redirect_uri: str) -> None:
    try:
        parts = urlsplit(redirect_uri)
        loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK and bool(parts.port)
    except ValueError:
        loopback = False
    if not loopback or parts.query or parts.fragment or parts.username:
        raise Invalid(
            "an answer comes back to the caller's own machine only",
            hint="use http://127.0.0.1:PORT/callback",
        )
