"""Secrets, looked up by name at the moment of the call and seen by nothing but `upstream/`.

INVARIANT: a value is in no log, error, record or receipt, and not in anything an agent gets: it
leaves this file only as a header, a signature's key, or a variable of a command.
INVARIANT: of the names that may stand for one account the closest wins: the agent's own at that
server, then the tool's, then the server's. Nothing falls back from one to the next.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.actions import Cleared
from quarterdeck.domain.consents import Challenge, granted_of
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.fleets import Vendor
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import HttpBackend, McpBackend, Tool
from quarterdeck.keys import SealingKey
from quarterdeck.sources import Clock
from quarterdeck.store import secrets
from quarterdeck.store.database import Database, Transaction
from quarterdeck.store.secrets import Kept
from quarterdeck.upstream.consents import ServerConsents
from quarterdeck.upstream.tokens import AccessTokens, SecretRefused

_SAYABLE: Final = re.compile(r"[\x20-\x7e]+")
_SCRUBBED_CHARACTERS_MIN: Final = 6
_MARGIN_SECONDS: Final = 30  # so long before its end a token is refreshed
KEPT_SECONDS: Final = 30  # a rotated secret is used everywhere after this


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What shows one account to a server: headers to send. No header where none is needed.

    `account` names the secret, never its value: connections and sessions that were opened under
    one account are not for another.
    """

    server: Server
    account: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    value: str = field(default="", repr=False)
    #: Another was refused before: there is no third.
    is_second: bool = False

    def scrubbed(self, body: bytes) -> bytes:
        """What a server said, without what it was shown: some repeat a key they do not know."""
        for value in (self.value, *self.headers.values()):
            for written in _writings(value.removeprefix("Bearer ")):
                if written in body:
                    body = body.replace(written, b"[secret]")
        return body


@dataclass(slots=True, kw_only=True)
class Credentials:
    """Values of secrets: the environment's first, then the database's."""

    db: Database
    master: SealingKey
    clock: Clock
    environment: Mapping[str, str] = field(repr=False)
    bindings: Bindings
    tokens: AccessTokens
    consents: ServerConsents
    _refreshing: dict[str, asyncio.Lock] = field(default_factory=dict, repr=False)
    _kept: dict[str, tuple[float, Kept]] = field(default_factory=dict, repr=False)

    async def of(self, cleared: Cleared, vendor: Vendor) -> str | None:
        """The key of a vendor this action was cleared for; `None` if the vendor needs none."""
        assert vendor is cleared.contract or (
            cleared.fallback is not None and vendor is cleared.fallback.contract
        ), "keys are for the vendors an action was cleared for"
        if vendor.secret is None:
            return None
        return await self._value(vendor.secret, f"vendor `{vendor.name}`")

    async def at(self, cleared: Cleared, server: Server, tool: Tool | None = None) -> Shown:
        """What a cleared call shows at its server; `tool` if the call is one of a tool.

        Raises Unavailable if a secret is not set, or no token is to be had for it.
        """
        assert _is_cleared_for(cleared, server, tool), "keys are for what an action was cleared for"
        binding = await self.bindings.of(cleared.action.revision)
        grant = binding.agent.servers.get(server.name)
        own = None if grant is None else grant.secret
        return await self._shown(server, own or (tool and tool.secret) or server.secret)

    async def of_platform(self, server: Server) -> Shown:
        """What the platform itself shows, to ask a server for its definitions: the server's."""
        return await self._shown(server, server.secret)

    async def instead(self, refused: Shown, challenge: Challenge | None = None) -> Shown | None:
        """What to show in the place of what a server has just refused (401), if there is anything.

        A secret that is being rotated has two values for a while, and a token may have been
        withdrawn before its time. Asked again about the answer, there is nothing more to try.
        """
        server, name = refused.server, refused.account
        if not name or refused.is_second or (challenge is not None and challenge.is_insufficient):
            return None
        if server.consent is not None:
            return await self._dressed(server, name, refused.value, is_second=True)
        if server.oauth is not None and self.tokens.forget(server, refused.value):
            return await self._dressed(server, name, refused.value, is_second=True)
        other = await self._other(name, refused.value)
        return None if other is None else await self._dressed(server, name, other, is_second=True)

    async def variables(self, server: Server) -> dict[str, str]:
        """The variables of a command: what its entry says, and the secrets it names."""
        found = dict(server.environment)
        for variable, name in server.secrets.items():
            found[variable] = await self._value(name, f"server `{server.name}`")
        return found

    async def _shown(self, server: Server, name: str | None) -> Shown:
        if name is None:
            return Shown(server=server)
        if server.consent is not None:
            self._kept.pop(name, None)  # what is withdrawn is not shown once more
            if await self._kept_of(name) is None:
                raise _nobody_at(server)
        value = await self._value(name, f"server `{server.name}`")
        try:
            return await self._dressed(server, name, value)
        except SecretRefused:
            other = await self._other(name, value)
            if other is None:
                raise
            return await self._dressed(server, name, other, is_second=True)

    async def _dressed(
        self, server: Server, account: str, value: str, *, is_second: bool = False
    ) -> Shown:
        """A value as the headers that its server's entry asks for."""
        if server.consent is not None:
            return await self._granted(server, account, value, is_second=is_second)
        if server.oauth is None and not _SAYABLE.fullmatch(value):
            raise Unavailable(
                f"the secret `{account}` of server `{server.name}` cannot stand in a header",
                hint="set it again, as one line of printable ASCII",
            )
        if server.header is not None and server.oauth is None:
            headers = {server.header.lower(): value}
        else:
            token = value if server.oauth is None else await self.tokens.of(server, value)
            headers = {"authorization": f"Bearer {token}"}
        return Shown(
            server=server, account=account, headers=headers, value=value, is_second=is_second
        )

    async def _granted(self, server: Server, account: str, value: str, *, is_second: bool) -> Shown:
        """What a person granted, refreshed where it ended or was refused."""
        granted = granted_of(value)
        if granted is None:
            raise _nobody_at(server)
        now = self.clock.micros() / 1_000_000
        if is_second or (granted.until is not None and granted.until <= now + _MARGIN_SECONDS):
            value = await self._refreshed(server, account, value)
            granted = granted_of(value) or granted
        return Shown(
            server=server,
            account=account,
            headers={"authorization": f"Bearer {granted.access_token}"},
            value=value,
            is_second=is_second,
        )

    async def _refreshed(self, server: Server, account: str, value: str) -> str:
        """The secret with other tokens in it, kept: an issuer may take a refresh token only once.

        Whoever comes second finds what the first one kept.
        """
        async with self._refreshing.setdefault(account, asyncio.Lock()):
            self._kept.pop(account, None)
            kept = await self._kept_of(account)
            if kept is not None and kept.value != value:
                return kept.value
            granted = granted_of(value)
            assert granted is not None, "it was read a moment ago"
            found = (await self.consents.refresh(server, granted)).kept()

            def write(tx: Transaction) -> None:
                secrets.put(tx, self.master, account, found, by="quarterdeck")

            await self.db.write(write)
            self._kept.pop(account, None)
            return found

    async def _other(self, name: str, refused: str) -> str | None:
        """The other value of a secret that is being rotated; it is used first for a while."""
        self._kept.pop(name, None)  # it may have been replaced a moment ago
        kept = await self._kept_of(name)
        other = None if kept is None else kept.other_than(refused, self.clock.micros())
        if kept is not None and other is not None and other == kept.before:
            turned = Kept(value=other, before=kept.value, before_until=kept.before_until)
            self._kept[name] = (self.clock.monotonic(), turned)
        return other

    async def _value(self, name: str, of: str) -> str:
        kept = await self._kept_of(name)
        if kept is None:
            raise Unavailable(
                f"the secret `{name}` of {of} is not set",
                hint=f"run: quarterdeck secrets set {name}",
            )
        return kept.value

    async def _kept_of(self, name: str) -> Kept | None:
        if name.lower() in self.environment:
            return Kept(value=self.environment[name.lower()])
        now = self.clock.monotonic()
        known = self._kept.get(name)
        if known is not None and now - known[0] < KEPT_SECONDS:
            return known[1]
        found = await self.db.read(lambda tx: secrets.find_kept(tx, self.master, name))
        if found is not None:
            self._kept[name] = (now, found)
        return found


def _nobody_at(server: Server) -> Unavailable:
    return Unavailable(
        f"nobody has signed in at server `{server.name}`",
        hint=f"run: quarterdeck servers sign-in {server.name}",
    )


@lru_cache(maxsize=256)
def _writings(value: str) -> tuple[bytes, ...]:
    """The ways a value may be repeated in: as it is, in JSON, in a URL. Short ones are words."""
    if len(value) < _SCRUBBED_CHARACTERS_MIN:
        return ()
    forms = (value, json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value))
    return tuple(dict.fromkeys(form.encode() for form in forms))


def _is_cleared_for(cleared: Cleared, server: Server, tool: Tool | None) -> bool:
    """Whether an action was cleared for this: the server itself, or a tool that lives there."""
    if tool is None:
        return cleared.contract is server
    backend = tool.backend
    return (
        cleared.contract is tool
        and isinstance(backend, McpBackend | HttpBackend)
        and backend.server == server.name
    )
