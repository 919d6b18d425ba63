"""Streams on which servers say that their lists changed, open while somebody here follows them.

One for each server however many follow it, of this process, as the platform itself: all it hears
is that something changed, and what did is looked at as ever. A server that floods is heard once a
second, and waits. Deliberately absent: servers of the handshake era, which are looked at each
minute, and commands, whose pipe says it anyway.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from quarterdeck.domain.definitions import identity_of
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.limits import (
    MCP_LIST_SECONDS_MAX,
    MCP_REWATCH_SECONDS,
    MCP_STANDING_MAX,
    MCP_WATCH_SECONDS,
    MCP_WATCHED_SECONDS,
)
from quarterdeck.domain.mcp.asks import Reply, Said
from quarterdeck.domain.mcp.exchanges import Unreadable, Wanted
from quarterdeck.domain.mcp.versions import STATELESS
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.tools.mcp_peers import Peers

_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_CHANGED: Final = frozenset(
    f"notifications/{k}/list_changed" for k in ("tools", "prompts", "resources")
)
_LISTEN: Final = Wanted(
    method="subscriptions/listen",
    params={
        "notifications": b'{"toolsListChanged":true,"promptsListChanged":true,'
        b'"resourcesListChanged":true}'
    },
    era="stateless",
)
#: Told the method of what a server said.
Hear = Callable[[str], None]


@dataclass(slots=True)
class _Stream:
    """The stream of one server, and who follows it."""

    server: Server
    told: list[Hear] = field(default_factory=list)
    #: It stands, or the server has none: whoever begins to follow it need not wait any more.
    is_known: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, kw_only=True)
class StandingStreams:
    """All of them."""

    peers: Peers
    #: Looks at a server that has changed what it offers.
    look: Callable[[Server], Awaitable[None]]
    _open: dict[str, _Stream] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def followed(self, servers: Iterable[Server], hear: Hear) -> AsyncIterator[None]:
        """Hear of changes at these servers; from here on, where they answer in time."""
        streams = [found for server in servers if (found := self._joined(server, hear))]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MCP_LIST_SECONDS_MAX):
                    for stream in streams:
                        await stream.is_known.wait()
            yield
        finally:
            for stream in streams:
                self._leave(stream, hear)

    def _joined(self, server: Server, hear: Hear) -> _Stream | None:
        if not server.url:
            return None
        identity = identity_of(server)
        stream = self._open.get(identity)
        if stream is None:
            if len(self._open) >= MCP_STANDING_MAX:
                return None
            stream = self._open[identity] = _Stream(server)
            stream.task = asyncio.create_task(self._stand(stream))
        stream.told.append(hear)
        return stream

    def _leave(self, stream: _Stream, hear: Hear) -> None:
        stream.told.remove(hear)
        if not stream.told and stream.task is not None:
            del self._open[identity_of(stream.server)]
            stream.task.cancel()

    async def _stand(self, stream: _Stream) -> None:
        """Listen, again and again: a stream that lasts is begun anew now and then."""
        while True:
            lasts = asyncio.timeout(MCP_WATCHED_SECONDS)
            # Whatever ends it: the server is looked at each minute all the same.
            with contextlib.suppress(QuarterdeckError, Unreadable, TimeoutError):
                async with lasts:
                    await self._listen(stream)
            stream.is_known.set()
            if not lasts.expired():
                await asyncio.sleep(MCP_REWATCH_SECONDS)

    async def _listen(self, stream: _Stream) -> None:
        if (await self.peers.meet(stream.server)).version != STATELESS:
            return

        async def on_said(said: Said) -> Reply | None:
            if said.method == _ACKNOWLEDGED:
                stream.is_known.set()
            elif said.method in _CHANGED and not said.is_request:
                await self._heard(stream, said.method)
            return None

        await self.peers.ask_as_platform(stream.server, _LISTEN, on_said)

    async def _heard(self, stream: _Stream, method: str) -> None:
        """Look first: whoever is told lists at once, and must not be shown what was."""
        await self.look(stream.server)
        for hear in list(stream.told):
            hear(method)
        await asyncio.sleep(MCP_WATCH_SECONDS)
