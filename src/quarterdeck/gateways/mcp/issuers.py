"""The keys of the issuer that the fleet names, found by its metadata and kept for a while.

INVARIANT: a key that nobody knows is looked for at most once in JWKS_REFETCH_SECONDS: tokens with
made-up key ids cost the issuer nothing.
The issuer is named in the fleet folder and may be private. Where its metadata says that its keys
are at another origin, that origin must be public.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson
from joserfc.jwk import KeySet

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import JWKS_KEPT_SECONDS, JWKS_REFETCH_SECONDS, JWKS_STALE_SECONDS
from quarterdeck.gateways.mcp.tokens import usable
from quarterdeck.sources import Clock
from quarterdeck.upstream.destinations import fetch_document

_PORTS: Final = {"http": 80, "https": 443}


class _Kept(NamedTuple):
    keys: KeySet
    fetched_at: float


@dataclass(slots=True, kw_only=True)
class Issuers:
    """The keys of issuers, as one process knows them. In practice there is one."""

    named: aiohttp.ClientSession
    public: aiohttp.ClientSession
    clock: Clock
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _tried: dict[str, float] = field(default_factory=dict)
    _fetching: dict[str, asyncio.Task[KeySet]] = field(default_factory=dict)

    async def keys(self, issuer: str, *, after: KeySet | None = None) -> KeySet:
        """The issuer's keys; with `after`, newer ones than those, if it is time to look again.

        Raises Unavailable where there are none and the issuer cannot be asked.
        """
        now, kept = self.clock.monotonic(), self._kept.get(issuer)
        if kept is not None:
            is_fresh = now - kept.fetched_at < JWKS_KEPT_SECONDS
            tried = self._tried.get(issuer, kept.fetched_at)
            is_wanted = not is_fresh or (after is not None and after is kept.keys)
            if not is_wanted or now - tried < JWKS_REFETCH_SECONDS:
                return kept.keys
        try:
            return await self._fetched(issuer)
        except Unavailable:
            if kept is not None and now - kept.fetched_at < JWKS_STALE_SECONDS:
                return kept.keys  # it knew these an hour ago: an outage of it is none of ours
            raise

    async def _fetched(self, issuer: str) -> KeySet:
        """Fetch them, one caller for all who wait."""
        task = self._fetching.get(issuer)
        if task is None:
            if self._is_too_soon(issuer):
                raise Unavailable(
                    "the issuer of this token could not be asked a moment ago",
                    hint="try again in half a minute",
                )
            self._tried[issuer] = self.clock.monotonic()
            task = asyncio.get_running_loop().create_task(self._fetch(issuer))
            self._fetching[issuer] = task
            task.add_done_callback(lambda done: self._store(issuer, done))
        return await asyncio.shield(task)

    def _is_too_soon(self, issuer: str) -> bool:
        """Whether an issuer that could not be asked is left alone for now."""
        tried = self._tried.get(issuer)
        return tried is not None and self.clock.monotonic() - tried < JWKS_REFETCH_SECONDS

    def _store(self, issuer: str, task: "asyncio.Task[KeySet]") -> None:
        self._fetching.pop(issuer, None)
        if not task.cancelled() and task.exception() is None:
            self._kept = {issuer: _Kept(task.result(), self.clock.monotonic())}

    async def _fetch(self, issuer: str) -> KeySet:
        metadata = await self._metadata(issuer)
        url = metadata.get("jwks_uri")
        if not isinstance(url, str):
            raise _useless("its metadata names no keys")
        session = self.named if _origin(url) == _origin(issuer) else self.public
        if session is self.public and not url.startswith("https://"):
            raise _useless("its keys are at another place, and not under https")
        keys = usable(_object(await fetch_document(session, url)))
        if keys is None or not keys.keys:
            raise _useless("it has no keys that are taken here")
        return keys

    async def _metadata(self, issuer: str) -> dict[str, Any]:
        """RFC 8414 or OpenID Connect Discovery, whichever the issuer has."""
        problem: Unavailable | None = None
        for url in _places(issuer):
            try:
                found = _object(await fetch_document(self.named, url))
            except Unavailable as error:
                problem = error
                continue
            # RFC 8414 §3.3: else one issuer could speak for another.
            if found.get("issuer") == issuer:
                return found
            problem = _useless("its metadata is of another issuer")
        assert problem is not None
        raise problem


def _places(issuer: str) -> tuple[str, ...]:
    """Where the metadata of an issuer may be."""
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return tuple(
        dict.fromkeys(
            (
                f"{root}/.well-known/oauth-authorization-server{path}",
                f"{root}{path}/.well-known/openid-configuration",
                f"{root}/.well-known/openid-configuration{path}",
            )
        )
    )


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", url, None
    return parts.scheme, (parts.hostname or "").lower(), port


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _useless("it answered what is not JSON") from error
    if not isinstance(value, dict):
        raise _useless("it answered what is no object")
    return value


def _useless(because: str) -> Unavailable:
    return Unavailable(
        f"the issuer of people's tokens cannot be used: {because}",
        hint="check `sign_in.issuer` in fleet.yaml, and the issuer",
    )
