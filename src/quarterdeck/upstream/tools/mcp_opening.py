"""How an MCP server is met for the first time: which era it is of, and its handshake if it has one.

A server that answers `server/discover` is of the stateless era. Whatever else it answers, it gets
the handshake it was made for; only silence and broken connections say nothing about an era.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from quarterdeck.domain.consents import Challenge
from quarterdeck.domain.limits import VENDOR_ERROR_BYTES_MAX
from quarterdeck.domain.mcp.exchanges import (
    CLIENT,
    Answered,
    Discovered,
    Unreadable,
    Wanted,
    discovered,
    heard,
    initialized,
    notice,
    routing_headers,
    speaks_stateless,
    written,
)
from quarterdeck.domain.mcp.versions import HANDSHAKE, STATELESS, era_of
from quarterdeck.upstream.credentials import Shown
from quarterdeck.upstream.tools.mcp_endpoint import SESSION, UNSAID, Endpoint, refusal
from quarterdeck.upstream.tools.mcp_stream import Place, body_of, messages

Instead: TypeAlias = Callable[[Shown, Challenge], Awaitable[Shown | None]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that was met: what it says of itself, and the session it gave if it gives any."""

    said: Discovered
    session: str = ""

    @property
    def is_stateless(self) -> bool:
        """Whether each request carries all that there is to say."""
        return self.said.version == STATELESS

    def headers(self, wanted: Wanted, shown: Shown) -> dict[str, str]:
        """What goes with a request."""
        found = {**UNSAID, **shown.headers}
        if self.is_stateless:
            return found | routing_headers(wanted)
        found["mcp-protocol-version"] = self.said.version
        if self.session:
            found[SESSION] = self.session
        return found


def hello(capabilities: bytes) -> Wanted:
    """The first request of a handshake."""
    offered = {
        "protocolVersion": b'"' + HANDSHAKE[0].encode() + b'"',
        "capabilities": capabilities,
        "clientInfo": CLIENT,
    }
    return Wanted(method="initialize", params=offered)


@dataclass(slots=True)
class Opening:
    """Meets one server, as one account of it."""

    endpoint: Endpoint
    capabilities: bytes
    instead: Instead
    numbers: "count[int]"

    async def open(self, shown: Shown, known: str | None) -> Opened:
        """Meet it; `known` is the revision it spoke last time. Raises Unreadable."""
        if known not in HANDSHAKE:
            wanted = Wanted(method="server/discover", capabilities=self.capabilities)
            headers = {**UNSAID, **shown.headers, **routing_headers(wanted)}
            answer, _, shown = await self._exchanged(wanted, STATELESS, headers, shown)
            if speaks_stateless(answer.error):  # what it refused was not the revision, then
                headers |= shown.headers
                answer, _, shown = await self._exchanged(wanted, STATELESS, headers, shown)
            said = discovered(answer)
            if said is not None:
                return Opened(said)
        return await self._shake_hands(shown)

    async def _shake_hands(self, shown: Shown) -> Opened:
        headers = {**UNSAID, **shown.headers}
        wanted = hello(self.capabilities)
        answer, session, shown = await self._exchanged(wanted, HANDSHAKE[0], headers, shown)
        if answer.result is None and not answer.error:
            why = "the credential" if answer.status in (401, 403) else "the handshake"
            raise Unreadable(f"it refused {why} (HTTP {answer.status})")
        said = initialized(answer)
        if era_of(said.version) != "handshake":
            raise Unreadable(f"it speaks `{said.version[:40]}`, which is not spoken here")
        opened = Opened(said, session)
        await self.endpoint.tell(notice("notifications/initialized"), opened.headers(wanted, shown))
        return opened

    async def _exchanged(
        self, wanted: Wanted, version: str, headers: dict[str, str], shown: Shown
    ) -> tuple[Answered, str, Shown]:
        """One exchange, with the other credential if one is refused."""
        while True:
            number = next(self.numbers)
            line = written(wanted, number, version)
            async with self.endpoint.post(line, headers) as response:
                session = response.header(SESSION)
                challenge = refusal(response)
                other = None if challenge is None else await self.instead(shown, challenge)
                if other is not None:
                    shown, headers = other, {**headers, **other.headers}
                    continue
                if response.status >= 300:
                    error = b""
                    with contextlib.suppress(Unreadable):
                        error = bytes(heard(await body_of(response, VENDOR_ERROR_BYTES_MAX)).error)
                    return Answered(error=error, status=response.status), session, shown
                async for message in messages(response, Place()):
                    if message.is_answer and message.id == number:
                        result = bytes(message.result) if len(message.result) else None
                        return Answered(result=result, error=bytes(message.error)), session, shown
            raise Unreadable("its stream ended without an answer")
