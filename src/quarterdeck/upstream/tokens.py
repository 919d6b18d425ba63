"""Access tokens for servers: a client's secret exchanged for something short-lived (RFC 6749 §4.4).

One token per issuer, client, scope, audience and secret is kept until shortly before it expires,
and fetched by one caller while the others wait for it. A token that cannot be had is Unavailable
in words that hold nothing of the secret or of what the issuer wrote.
"""

import asyncio
import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus

import aiohttp
import msgspec

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    TOKEN_ANSWER_BYTES_MAX,
    TOKEN_FETCH_SECONDS_MAX,
    TOKEN_SECONDS_DEFAULT,
    TOKENS_KEPT_MAX,
)
from quarterdeck.domain.servers import OAuthClient, Server
from quarterdeck.sources import Clock

#: So long before its end a token is replaced: a call under way must not outlive it.
_MARGIN_SECONDS: Final = 30
_ERROR_CODE: Final = re.compile(r"[a-z_]{1,40}")
_SAYABLE: Final = re.compile(r"[\x21-\x7e]+")


class SecretRefused(Unavailable):
    """The issuer does not know the client by this secret."""


class _Key(NamedTuple):
    token_url: str
    client_id: str
    scope: str
    resource: str
    secret: bytes  # its hash: another secret is another client


class _Token(NamedTuple):
    value: str
    until: float


class _Granted(msgspec.Struct):
    """What of an issuer's answer matters here."""

    access_token: str = ""
    token_type: str = ""
    expires_in: float | str | None = None


@dataclass(slots=True, kw_only=True)
class AccessTokens:
    """The tokens of one process."""

    session: aiohttp.ClientSession
    clock: Clock
    _kept: dict[_Key, _Token] = field(default_factory=dict, repr=False)
    _fetched: dict[_Key, asyncio.Task[_Token]] = field(default_factory=dict, repr=False)

    async def of(self, server: Server, secret: str) -> str:
        """A token for a server. Raises Unavailable; SecretRefused if another secret may help."""
        key = _key(server, secret)
        kept = self._kept.get(key)
        if kept is not None and self.clock.monotonic() < kept.until:
            return kept.value
        fetching = self._fetched.get(key)
        if fetching is None:
            fetching = asyncio.get_running_loop().create_task(self._fetch(key, server, secret))
            self._fetched[key] = fetching
            fetching.add_done_callback(lambda task: self._store(key, task))
        # Whoever leaves does not take it away from the others.
        return (await asyncio.shield(fetching)).value

    def forget(self, server: Server, secret: str) -> bool:
        """A token was refused before its time: false if none was kept."""
        return self._kept.pop(_key(server, secret), None) is not None

    def _store(self, key: _Key, task: asyncio.Task[_Token]) -> None:
        self._fetched.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        if len(self._kept) >= TOKENS_KEPT_MAX:
            now = self.clock.monotonic()
            self._kept = {k: t for k, t in self._kept.items() if now < t.until}
            if len(self._kept) >= TOKENS_KEPT_MAX:
                self._kept.clear()
        self._kept[key] = task.result()

    async def _fetch(self, key: _Key, server: Server, secret: str) -> _Token:
        client = server.oauth
        assert client is not None
        form = {"grant_type": "client_credentials"}
        form |= {"scope": key.scope} if key.scope else {}
        form |= {"resource": key.resource} if key.resource else {}
        asked_at = self.clock.monotonic()
        try:
            async with self.session.post(
                client.token_url,
                data=form,
                headers={
                    "authorization": _basic(client, secret),
                    "accept": "application/json",
                    "accept-encoding": "identity",
                },
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TOKEN_FETCH_SECONDS_MAX),
            ) as response:
                body = await _bounded(response.content)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(server, f"cannot be reached ({type(error).__name__})") from None
        return self._granted(server, status, body, asked_at)

    def _granted(self, server: Server, status: int, body: bytes | None, asked_at: float) -> _Token:
        """An issuer's answer as a token. Errors show its code, never its sentences."""
        if body is None:
            raise _unavailable(server, "gave an answer that is too long")
        if status != 200:
            code = _error_code(body)
            said = f"answered {status}{f' `{code}`' if code else ''}"
            if status == 401 or code == "invalid_client":
                raise _unavailable(server, said, SecretRefused)
            raise _unavailable(server, said)
        try:
            granted = msgspec.json.decode(body, type=_Granted)
        except (msgspec.DecodeError, RecursionError):
            raise _unavailable(server, "gave an answer that is no token") from None
        if not _SAYABLE.fullmatch(granted.access_token) or granted.token_type.lower() != "bearer":
            raise _unavailable(server, "gave an answer that is no bearer token")
        seconds = _seconds(granted.expires_in)
        margin = min(_MARGIN_SECONDS, seconds / 2)
        return _Token(granted.access_token, asked_at + seconds - margin)


def _key(server: Server, secret: str) -> _Key:
    client = server.oauth
    assert client is not None
    return _Key(
        client.token_url,
        client.client_id,
        client.scope or "",
        # The MCP authorisation profile asks for it (RFC 8707); other issuers may refuse it.
        (server.url or "") if server.protocol == "mcp" else "",
        hashlib.sha256(secret.encode()).digest(),
    )


def _basic(client: OAuthClient, secret: str) -> str:
    """`client_secret_basic`, which every issuer takes (RFC 6749 §2.3.1)."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"
    return "Basic " + b64encode(pair.encode()).decode()


async def _bounded(stream: aiohttp.StreamReader) -> bytes | None:
    """All of a body, or nothing if it is too long."""
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > TOKEN_ANSWER_BYTES_MAX:
            return None
    return bytes(body)


def _seconds(said: float | str | None) -> float:
    """How long a token lives, in any of the ways issuers write it."""
    try:
        seconds = float(said) if said is not None else 0.0
    except ValueError:
        seconds = 0.0
    return seconds if 0 < seconds < float("inf") else float(TOKEN_SECONDS_DEFAULT)


def _error_code(body: bytes) -> str:
    """The `error` of RFC 6749 §5.2, where it is one of those short words."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    code = said.get("error") if isinstance(said, dict) else None
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""


def _unavailable(server: Server, said: str, kind: type[Unavailable] = Unavailable) -> Unavailable:
    return kind(
        f"no token for server `{server.name}`: its issuer {said}",
        hint="check `oauth` in its file and its secret",
    )
