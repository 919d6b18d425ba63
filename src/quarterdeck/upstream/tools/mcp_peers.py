"""The sessions and processes of one process at its MCP servers, made at first use and ended unused.

INVARIANT: what was opened under one account is used for no other. A session of the handshake era
may remember whom it speaks with, so each run has its own there; a stateless server needs none, and
a command's process is shared by the agents that use it under one account.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.actions import Cleared
from quarterdeck.domain.definitions import identity_of
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    SERVER_PROCESSES_MAX,
    SERVER_SESSION_IDLE_SECONDS,
    SERVER_SESSIONS_MAX,
)
from quarterdeck.domain.mcp.asks import OnSaid
from quarterdeck.domain.mcp.exchanges import Answered, Discovered, Wanted
from quarterdeck.domain.mcp.versions import HANDSHAKE, STATELESS
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import Tool
from quarterdeck.upstream.credentials import Credentials, Shown
from quarterdeck.upstream.pool import Pool
from quarterdeck.upstream.tools.mcp_http import HttpPeer
from quarterdeck.upstream.tools.mcp_process import Home
from quarterdeck.upstream.tools.mcp_stdio import StdioPeer

_Key: TypeAlias = tuple[str, str, bytes, str]
_NONE_ASKED = b"{}"
T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    peer: HttpPeer | StdioPeer
    used_at: float = 0.0
    calls: int = 0


@dataclass(slots=True, kw_only=True)
class Peers:
    """All of them."""

    pool: Pool
    credentials: Credentials
    bindings: Bindings
    home: Home
    monotonic: Callable[[], float]
    #: Told of a server whose definitions may have changed.
    changed: Callable[[Server], None] = lambda _: None
    #: The revision each server spoke last.
    known: dict[str, str] = field(default_factory=dict)
    _kept: "OrderedDict[_Key, _Kept]" = field(default_factory=OrderedDict)
    #: Servers that want no handshake, though their clients could be asked back in one.
    _stateless_only: set[str] = field(default_factory=set)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)
    _is_closed: bool = False

    async def ask(
        self,
        cleared: Cleared,
        server: Server,
        wanted: Wanted,
        on_said: OnSaid | None = None,
    ) -> Answered:
        """One exchange for a cleared action, as the account it is to be shown as."""
        if server.command:
            return await self._ask_command(
                await self._own_command(cleared, server), wanted, on_said
            )
        tool = cleared.contract if isinstance(cleared.contract, Tool) else None
        shown = await self.credentials.at(cleared, server, tool)
        version = self.known.get(_place_of(server))
        if version is None:
            version = (await self._meet(server, shown)).version
        can_be_asked = wanted.era == "handshake" and wanted.capabilities != _NONE_ASKED
        if version == STATELESS and can_be_asked:
            session = await self._asked_back(server, shown, wanted, cleared.action.run)
            if session is not None:
                return await self._used(session, lambda peer: peer.ask(wanted, shown, on_said))
        scope = "" if version == STATELESS else cleared.action.run
        asks = wanted.capabilities if version in HANDSHAKE else _NONE_ASKED
        kept = self._http(server, shown, asks, scope)
        return await self._used(kept, lambda peer: peer.ask(wanted, shown, on_said))

    async def ask_as_platform(
        self, server: Server, wanted: Wanted, on_said: OnSaid | None = None
    ) -> Answered:
        """One exchange for the platform itself, to learn what a server offers."""
        if server.command:
            return await self._ask_command(server, wanted, on_said)
        shown = await self.credentials.of_platform(server)
        kept = self._http(server, shown, _NONE_ASKED, "")
        return await self._used(kept, lambda peer: peer.ask(wanted, shown, on_said))

    async def meet(self, server: Server) -> Discovered:
        """What a server says of itself."""
        if server.command:
            variables = await self.credentials.variables(server)
            return await self._used(
                self._command(server, _NONE_ASKED), lambda peer: peer.open(variables)
            )
        return await self._meet(server, await self.credentials.of_platform(server))

    def is_idle_command(self, server: Server) -> bool:
        """Whether a server is a command whose process does not run: nobody uses it."""
        if not server.command:
            return False
        identity = identity_of(server)
        running = (
            kept.peer.is_running
            for key, kept in self._kept.items()
            if key[0] == identity and isinstance(kept.peer, StdioPeer)
        )
        return not any(running)

    def sweep(self) -> None:
        """End sessions and processes that nobody used for a while."""
        old = self.monotonic() - SERVER_SESSION_IDLE_SECONDS
        for key, kept in list(self._kept.items()):
            if not kept.calls and kept.used_at <= old:
                self._end(key)

    async def close(self) -> None:
        """End all of them."""
        self._is_closed = True
        for key in list(self._kept):
            self._end(key)
        while self._ending:
            await asyncio.wait(self._ending)

    async def _meet(self, server: Server, shown: Shown) -> Discovered:
        kept = self._http(server, shown, _NONE_ASKED, "")
        return await self._used(kept, lambda peer: peer.open(shown))

    async def _asked_back(
        self, server: Server, shown: Shown, wanted: Wanted, scope: str
    ) -> _Kept | None:
        """A session with a server that speaks both eras, for a client that can be asked in one."""
        place = _place_of(server)
        if place in self._stateless_only:
            return None
        kept = self._http(server, shown, wanted.capabilities, scope, {place: HANDSHAKE[0]})
        try:
            await self._used(kept, lambda peer: peer.open(shown))
        except Unavailable:
            self._stateless_only.add(place)
            return None
        return kept

    async def _ask_command(
        self, server: Server, wanted: Wanted, on_said: OnSaid | None
    ) -> Answered:
        variables = await self.credentials.variables(server)
        kept = self._command(server, wanted.capabilities)
        return await self._used(kept, lambda peer: peer.ask(wanted, variables, on_said))

    async def _own_command(self, cleared: Cleared, server: Server) -> Server:
        """The command as this agent runs it: with its own secret in the variable there is one for.

        A process that another agent's secret is in is another process.
        """
        binding = await self.bindings.of(cleared.action.revision)
        grant = binding.agent.servers.get(server.name)
        own = None if grant is None else grant.secret
        if own is None:
            return server
        if len(server.secrets) != 1:
            raise Unavailable(
                f"server `{server.name}` has no one variable for the agent's own secret `{own}`",
                hint="name exactly one variable under `secrets:` of the server",
            )
        return replace(server, secrets=dict.fromkeys(server.secrets, own))

    async def _used(self, kept: _Kept, use: Callable[[Any], Awaitable[T]]) -> T:
        kept.calls += 1
        try:
            return await use(kept.peer)
        finally:
            kept.calls -= 1
            kept.used_at = self.monotonic()

    def _http(
        self,
        server: Server,
        shown: Shown,
        asks: bytes,
        scope: str,
        known: dict[str, str] | None = None,
    ) -> _Kept:
        def make() -> HttpPeer:
            return HttpPeer(
                self.pool,
                server,
                capabilities=asks,
                instead=self.credentials.instead,
                known=self.known if known is None else known,
            )

        return self._find((identity_of(server), shown.account, asks, scope), make)

    def _command(self, server: Server, asks: bytes) -> _Kept:
        def make() -> StdioPeer:
            return StdioPeer(
                server,
                home=self.home,
                capabilities=asks,
                known=self.known,
                monotonic=self.monotonic,
                changed=lambda: self.changed(server),
            )

        account = " ".join(f"{k}={v}" for k, v in sorted(server.secrets.items()))
        if self.known.get(server.name) == STATELESS:
            asks = _NONE_ASKED  # there each request says what may be asked back
        return self._find((identity_of(server), account, asks, ""), make)

    def _find(self, key: _Key, make: Callable[[], HttpPeer | StdioPeer]) -> _Kept:
        if self._is_closed:
            raise Unavailable("the server is stopping", hint="try again")
        kept = self._kept.get(key)
        if kept is None:
            peer = make()
            self._make_room(type(peer))
            kept = self._kept[key] = _Kept(peer, self.monotonic())
        self._kept.move_to_end(key)
        return kept

    def _make_room(self, kind: type[Any]) -> None:
        """The one unused longest makes room; one that is at work never does."""
        most = SERVER_PROCESSES_MAX if kind is StdioPeer else SERVER_SESSIONS_MAX
        alike = [(key, kept) for key, kept in self._kept.items() if isinstance(kept.peer, kind)]
        if len(alike) < most:
            return
        idle = next((key for key, kept in alike if not kept.calls), None)
        if idle is None:
            raise Unavailable(
                f"{most} sessions with servers are under way, and there are no more", hint="wait"
            )
        self._end(idle)

    def _end(self, key: _Key) -> None:
        kept = self._kept.pop(key)
        task = asyncio.create_task(kept.peer.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _place_of(server: Server) -> str:
    return f"{server.name} {server.url}"
