"""A person's consent at an MCP server, asked for and exchanged for tokens.

Only what the server and its issuer publish is believed, and only after `domain/consents.py` has
looked at it. No redirects; answers are bounded in time and size; errors repeat no secret and no
sentence of an issuer. Deliberately absent: browsers, and where tokens are kept.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from quarterdeck.domain.consents import (
    Asked,
    Challenge,
    Client,
    Granted,
    Issuer,
    Method,
    Resource,
    check_issuer,
    check_resource,
    code_of,
    is_safe,
    issuer_of,
    issuer_urls,
    registration,
    resource_urls,
    scopes_to_ask,
    token_request,
)
from quarterdeck.domain.errors import Invalid, Unavailable
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.limits import DOCUMENT_BYTES_MAX, DOCUMENT_SECONDS_MAX
from quarterdeck.domain.servers import Server
from quarterdeck.sources import Clock

_Document = TypeVar("_Document", Resource, Issuer)
_PATIENCE: Final = aiohttp.ClientTimeout(total=DOCUMENT_SECONDS_MAX)
_REFUSALS: Final = (400, 401, 403)  # of a token endpoint: `invalid_grant` and the like
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}


class NotRenewed(Unavailable):
    """The issuer gives no token for what was granted: somebody must sign in again."""


class _Registered(msgspec.Struct):
    client_id: str
    client_secret: str | None = None
    token_endpoint_auth_method: str | None = None


class _Tokens(msgspec.Struct):
    access_token: str
    token_type: str = ""
    expires_in: float | None = None
    refresh_token: str | None = None
    scope: str | None = None


@dataclass(slots=True, kw_only=True)
class Consents:
    """Asks for consent, and exchanges answers.

    `issuer` is the only one to ask, if it is named; `preset` knows clients that were registered by
    hand, by issuer; `client_url` is where our own metadata is published, for issuers that take
    such a URL as a client's id. Hosts that are not `named` are reached over `public`.
    """

    session: aiohttp.ClientSession
    clock: Clock
    redirect_uri: str
    issuer: str | None = None
    client_url: str | None = None
    preset: Callable[[str], Client | None] = lambda issuer: None
    public: aiohttp.ClientSession | None = None
    named: frozenset[str] = frozenset()
    _registered: dict[str, Client] = field(default_factory=dict, repr=False)

    async def ask(self, server_url: str, challenge: Challenge, before: Sequence[str] = ()) -> Asked:
        """What to ask a person after a server refused; `before` are scopes granted earlier."""
        resource = await self._first(Resource, resource_urls(server_url, challenge), server_url)
        canonical = check_resource(resource, server_url)
        wanted = issuer_of(resource, self.issuer)
        issuer = check_issuer(await self._first(Issuer, issuer_urls(wanted), wanted), wanted)
        return Asked(
            issuer=issuer,
            client=await self._client(issuer),
            resource=canonical,
            scopes=scopes_to_ask(challenge, resource, issuer, before),
            redirect_uri=self.redirect_uri,
            state=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
        )

    async def receive(self, asked: Asked, answer_url: str) -> Granted:
        """Tokens for a person's answer: the URL that the issuer sent them back to."""
        form = {
            "grant_type": "authorization_code",
            "code": code_of(asked, answer_url),
            "redirect_uri": asked.redirect_uri,
            "code_verifier": asked.verifier,
            "resource": asked.resource,
        }
        tokens = await self._tokens(asked.issuer, asked.client, form)
        return self._granted(tokens, asked.issuer, asked.client, asked.resource, asked.scopes)

    async def refresh(self, granted: Granted) -> Granted:
        """Other tokens for those that ended. What was granted stays as it was."""
        if granted.refresh_token is None:
            raise NotRenewed(f"`{granted.issuer.issuer}` gave nothing to refresh a token with")
        form = {
            "grant_type": "refresh_token",
            "refresh_token": granted.refresh_token,
            "resource": granted.resource,
        }
        tokens = await self._tokens(granted.issuer, granted.client, form)
        if tokens.refresh_token is None:
            tokens.refresh_token = granted.refresh_token
        of = (granted.issuer, granted.client, granted.resource, granted.scopes)
        return replace(self._granted(tokens, *of), by=granted.by, at=granted.at)

    def _granted(
        self,
        tokens: _Tokens,
        issuer: Issuer,
        client: Client,
        resource: str,
        scopes: tuple[str, ...],
    ) -> Granted:
        said = () if tokens.scope is None else tokens.scope.split()
        now = self.clock.micros() / 1_000_000
        return Granted(
            issuer=issuer,
            client=client,
            resource=resource,
            scopes=tuple(dict.fromkeys((*scopes, *said))),
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            until=None if tokens.expires_in is None else now + tokens.expires_in,
        )

    async def _client(self, issuer: Issuer) -> Client:
        """Who we are to an issuer: by hand, by our own URL, or registered a moment ago."""
        known = self.preset(issuer.issuer) or self._registered.get(issuer.issuer)
        if known is not None:
            return known
        if self.client_url is not None and issuer.client_id_metadata_document_supported:
            return Client(issuer=issuer.issuer, id=self.client_url, method="none")
        if issuer.registration_endpoint is None:
            raise Unavailable(
                f"`{issuer.issuer}` does not register clients by itself",
                hint="register one there by hand, and write its `client_id` in the server's file",
            )
        status, body = await self._posted(
            issuer.registration_endpoint, json=registration(self.redirect_uri)
        )
        if status not in (200, 201):
            raise Unavailable(f"`{issuer.issuer}` did not register us ({status})")
        said = _read(_Registered, body, issuer.issuer)
        client = Client(
            issuer=issuer.issuer,
            id=said.client_id,
            secret=said.client_secret,
            method=_method(said.token_endpoint_auth_method),
        )
        self._registered[issuer.issuer] = client
        return client

    async def _tokens(self, issuer: Issuer, client: Client, form: Mapping[str, str]) -> _Tokens:
        data, headers = token_request(issuer, client, form)
        status, body = await self._posted(issuer.token_endpoint, data=data, headers=headers)
        if status != 200:
            kind = NotRenewed if status in _REFUSALS else Unavailable
            raise kind(f"`{issuer.issuer}` gave no token ({status})", hint="begin again")
        tokens = _read(_Tokens, body, issuer.issuer)
        if tokens.token_type.lower() != "bearer":
            raise Unavailable(f"`{issuer.issuer}` gave a token that is no bearer token")
        return tokens

    async def _first(self, kind: type[_Document], urls: Sequence[str], of: str) -> _Document:
        """The first of the documents that is there."""
        for url in urls:
            if not is_safe(url):
                raise Invalid(f"the metadata of `{of}` are at a URL without https")
            status, body = await self._sent("GET", url)
            if status == 200:
                return _read(kind, body, of)
        raise Unavailable(f"`{of}` publishes no metadata, so nobody can be asked for consent")

    async def _posted(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
    ) -> tuple[int, bytes]:
        return await self._sent("POST", url, headers=headers, data=data, json=json)

    async def _sent(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
    ) -> tuple[int, bytes]:
        try:
            async with self._session(url).request(
                method,
                url,
                headers={**_HEADERS, **(headers or {})},
                data=data,
                json=json,
                allow_redirects=False,
                timeout=_PATIENCE,
            ) as response:
                return response.status, await _bounded(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"`{url}` cannot be reached ({type(error).__name__})") from None

    def _session(self, url: str) -> aiohttp.ClientSession:
        """What the fleet names may be private; what was found on the way may not."""
        if self.public is None or urlsplit(url).netloc in self.named:
            return self.session
        return self.public


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > DOCUMENT_BYTES_MAX:
            raise aiohttp.ClientPayloadError("too long")
    return bytes(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConsents:
    """Consents at the servers of a fleet: the issuer is the one that its file names.

    Which of them an issuer does not renew any more is known to the process that asked it.
    """

    session: aiohttp.ClientSession
    public: aiohttp.ClientSession
    clock: Clock
    _refused: dict[ServerName, str] = field(default_factory=dict)

    async def ask(self, server: Server, redirect_uri: str) -> Asked:
        """What to ask a person, so that we may act for them there."""
        assert server.url is not None, "only servers at a URL are signed in to"
        return await self._at(server, redirect_uri).ask(server.url, Challenge())

    async def receive(self, server: Server, asked: Asked, answer_url: str) -> Granted:
        """Tokens for the answer."""
        granted = await self._at(server, asked.redirect_uri).receive(asked, answer_url)
        self.forget(server)
        return granted

    async def refresh(self, server: Server, granted: Granted) -> Granted:
        """Other tokens for those that ended."""
        try:
            found = await self._at(server, "").refresh(granted)
        except NotRenewed as error:
            self._refused[server.name] = error.message
            raise
        self.forget(server)
        return found

    def refusal(self, server: Server) -> str:
        """Why this process could not renew what was granted; empty if it could, or did not try."""
        return self._refused.get(server.name, "")

    def forget(self, server: Server) -> None:
        """What was granted before is over: it was renewed, granted anew or withdrawn."""
        self._refused.pop(server.name, None)

    def _at(self, server: Server, redirect_uri: str) -> Consents:
        consent = server.consent
        assert consent is not None, "the server's file says where"
        named = frozenset(urlsplit(url or "").netloc for url in (server.url, consent.issuer))
        known = consent.client_id
        return Consents(
            session=self.session,
            public=self.public,
            named=named,
            clock=self.clock,
            redirect_uri=redirect_uri,
            issuer=consent.issuer,
            preset=lambda issuer: None if known is None else Client(issuer=issuer, id=known),
        )


_Read = TypeVar("_Read")


def _read(kind: type[_Read], body: bytes, of: str) -> _Read:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise Unavailable(f"what `{of}` says of itself cannot be read") from error


def _method(said: str | None) -> Method | None:
    known: tuple[Method, ...] = ("client_secret_basic", "client_secret_post", "none")
    return next((method for method in known if method == said), None)
