"""Consents: an owner signs in at an MCP server's issuer, and what is granted is kept as a secret.

The question is asked here and answered here, by the same process; in between is a browser. Neither
question nor answer is kept; a token is seen by nobody: what is read of a consent is who granted
it, what, when and until when.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.consents import Asked, ConsentState, Granted, granted_of, state_of
from quarterdeck.domain.errors import Conflict, Invalid, NotFound
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.limits import CONSENT_SECONDS_MAX, CONSENTS_PENDING_MAX
from quarterdeck.domain.people import Caller, authorise, authorise_whole
from quarterdeck.domain.servers import Server
from quarterdeck.services.secrets import Secrets
from quarterdeck.store import secrets
from quarterdeck.store.database import Reading

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Issuers(Protocol):
    """Who asks issuers, and exchanges answers."""

    async def ask(self, server: Server, redirect_uri: str) -> Asked:
        """What to ask a person."""

    async def receive(self, server: Server, asked: Asked, answer_url: str) -> Granted:
        """Tokens for the answer."""

    def refusal(self, server: Server) -> str:
        """Why what was granted could not be renewed; empty if it could."""

    def forget(self, server: Server) -> None:
        """What was granted before is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentReading:
    """What somebody granted at a server; without a word of what it was granted by."""

    server: str
    issuer: str
    secret: str
    state: ConsentState
    because: str
    #: Empty and none where nobody granted anything, or it was set by hand.
    by: str
    at: int | None
    #: When the present token ends; none where its issuer did not say. `renews` puts another there.
    until: int | None
    renews: bool
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consents:
    """The use cases of consents."""

    bindings: Bindings
    secrets: Secrets
    issuers: Issuers
    #: Tells this process at once that a server may answer now; the others try by themselves.
    opened: Callable[[Server], None]
    #: Secrets that the environment sets go before those that are kept.
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    _pending: dict[str, tuple[float, ServerName, Asked]] = field(default_factory=dict, repr=False)

    async def list_all(self, caller: Caller) -> list[ConsentReading]:
        """Every server of the fleet in force where a person must sign in, by name."""
        authorise(caller, "read")
        fleet = await self.bindings.in_force()
        servers = () if fleet is None else fleet.servers.values()
        asking = sorted((s for s in servers if s.consent is not None), key=lambda s: s.name)
        return await self.secrets.db.read(lambda tx: [self._read(tx, one) for one in asking])

    async def find(self, caller: Caller, name: str) -> ConsentReading | None:
        """The same of one server; nothing where nobody has to sign in."""
        return next((one for one in await self.list_all(caller) if one.server == name), None)

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

    async def receive(self, caller: Caller, name: str, answer_url: str) -> ConsentReading:
        """Take the URL the caller was sent back to, and keep what was granted."""
        authorise_whole(caller, "secrets")
        server = await self._server(name)
        asked = self._asked(server, answer_url)
        granted = await self.issuers.receive(server, asked, answer_url)
        granted = replace(granted, by=caller.id, at=self.secrets.clock.micros())
        await self.secrets.put(caller, _kept_as(server), granted.kept())
        self.opened(server)
        return await self.secrets.db.read(lambda tx: self._read(tx, server))

    async def withdraw(self, caller: Caller, name: str) -> None:
        """Forget what was granted at a server: from now on no process shows it."""
        authorise_whole(caller, "secrets")
        server = await self._server(name)
        try:
            await self.secrets.remove(caller, _kept_as(server))
        except NotFound as error:
            raise Conflict(
                f"nobody has signed in at server `{name}`", hint="there is nothing to withdraw"
            ) from error
        self.issuers.forget(server)
        self.opened(server)

    def _read(self, tx: Reading, server: Server) -> ConsentReading:
        assert server.consent is not None, "the server's file says where"
        name = _kept_as(server)
        kept = secrets.find_kept(tx, self.secrets.master, name)
        set_by_environment = self.environment.get(name.lower())
        value = set_by_environment or ("" if kept is None else kept.value)
        granted = granted_of(value)
        refusal = self.issuers.refusal(server)
        now_seconds = self.secrets.clock.micros() / 1_000_000
        state = state_of(granted, is_refused=bool(refusal), now_seconds=now_seconds)
        return ConsentReading(
            server=server.name,
            issuer=server.consent.issuer,
            secret=name,
            state=state,
            because=_because(state, refusal, is_other=bool(value), name=name),
            by="" if granted is None else granted.by,
            at=None if granted is None or not granted.at else granted.at,
            until=_micros(None if granted is None else granted.until),
            renews=granted is not None and granted.refresh_token is not None,
            scopes=() if granted is None else granted.scopes,
        )

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


def _kept_as(server: Server) -> str:
    assert server.secret is not None, "the fleet says where it is kept"
    return server.secret


def _micros(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1_000_000)


def _because(state: ConsentState, refusal: str, *, is_other: bool, name: str) -> str:
    """The state in a sentence that says what to do."""
    match state:
        case "granted":
            return "agents may use the server as was granted"
        case "ended":
            return "what was granted has ended and cannot be renewed: somebody must sign in again"
        case "refused":
            return f"it was not renewed: {refusal}; somebody must sign in again"
        case "nobody" if is_other:
            return f"the secret `{name}` is set to something else: somebody must sign in"
        case _:
            return "nobody has signed in: agents cannot use the server"


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
