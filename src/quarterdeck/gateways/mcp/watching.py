"""Streams that tell a client what changed: its lists, and resources it watches.

A list changes when something is frozen or thawed, or when a server's definitions do. Every stream
looks once a second, and callers that are served alike share what was found; where a server has a
stream of its own for that, it is told at once what was heard there. A watched resource is an action
at its server for as long as the stream lives.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from msgspec import Raw
from msgspec.structs import replace

from quarterdeck.domain.actions import Cleared, Content, Done, Effect, Proposal, Receipt
from quarterdeck.domain.dialects.request import Members
from quarterdeck.domain.errors import Unidentified
from quarterdeck.domain.grants import permits
from quarterdeck.domain.limits import (
    MCP_KEEPALIVE_SECONDS,
    MCP_REWATCH_SECONDS,
    MCP_STREAMS_MAX,
    MCP_STREAMS_OF_RUN_MAX,
    MCP_WATCH_SECONDS,
    MCP_WATCHED_MAX,
    MCP_WATCHED_SECONDS,
)
from quarterdeck.domain.mcp.asks import Ask, Reply, Said
from quarterdeck.domain.mcp.errors import BUSY, INVALID_PARAMS, Fault
from quarterdeck.domain.mcp.messages import META_SUBSCRIPTION, object_of, plain, text_of
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import McpBackend
from quarterdeck.gateways.mcp.answering import Answering
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.gateways.mcp.discovery import has_prompts, has_resources
from quarterdeck.gateways.mcp.exchange import Exchange
from quarterdeck.gateways.mcp.listing import ToolListing
from quarterdeck.gateways.mcp.passing import Passing
from quarterdeck.gateways.mcp.reading import Readings, no_resource, resource_at
from quarterdeck.gateways.mcp.sessions import McpSessions, Session
from quarterdeck.gateways.mcp.standing import Standings
from quarterdeck.upstream.tools.mcp import McpTools
from quarterdeck.upstream.tools.mcp_standing import StandingStreams

_LISTS: Final = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
_NAMES: Final = {method: name for name, method in _LISTS.items()}
_UPDATED: Final = "notifications/resources/updated"
Say = Callable[[bytes], Awaitable[object]]


@dataclass(slots=True)
class _Stream:
    """One stream: what it tells of, and how what it says is marked."""

    caller: McpCaller
    say: Say
    meta: dict[str, Any]
    lists: frozenset[str]
    watched: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    #: Lists that a server said it has changed, since the last look.
    heard: set[str] = field(default_factory=set)
    is_heard: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, method: str) -> None:
        """A server said that a list of its own changed."""
        name = _NAMES[method]
        if name in self.lists:
            self.heard.add(name)
            self.is_heard.set()

    async def pause(self) -> set[str]:
        """Until the next look; what was heard meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MCP_WATCH_SECONDS):
                await self.is_heard.wait()
        self.is_heard.clear()
        heard, self.heard = self.heard, set()
        return heard

    async def tell(self, method: str, params: dict[str, Any]) -> None:
        """Say one thing."""
        marked = params | ({"_meta": self.meta} if self.meta else {})
        body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        await self.say(orjson.dumps(body | ({"params": marked} if marked else {})))


@dataclass(slots=True, kw_only=True)
class Watching:
    """Serves such streams."""

    listing: ToolListing
    readings: Readings
    passing: Passing
    sessions: McpSessions
    mcp: McpTools
    standings: Standings
    monotonic: Callable[[], float]
    standing: StandingStreams = field(init=False)
    _open: Counter[str] = field(default_factory=Counter)
    _found: dict[tuple[object, ...], tuple[float, dict[str, bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.standing = StandingStreams(peers=self.mcp.peers, look=self.mcp.catalog.look_again)

    async def listen(self, x: Exchange) -> None:
        """`subscriptions/listen`: what was asked for and is served, until the client goes."""
        wanted = object_of(x.params.get("notifications"), "`notifications`")
        lists = frozenset(
            name for name in _LISTS if _is_true(wanted, name) and _is_served(x.caller, name)
        )
        uris = [uri for uri in _uris(wanted) if _is_granted(x.caller, uri)]
        honoured: dict[str, Any] = dict.fromkeys(sorted(lists), True)
        if uris:
            honoured["resourceSubscriptions"] = uris
        meta = {META_SUBSCRIPTION: x.id}
        stream = _Stream(x.caller, x.out.say, meta, lists)
        with self._counted(x.caller):
            async with self.standing.followed(_servers(stream), stream.hear):
                # What changes from here on is told: the lists are looked at before the first word.
                before = await self._fingerprints(stream)
                await stream.tell(
                    "notifications/subscriptions/acknowledged", {"notifications": honoured}
                )
                await self._told(stream, before, lambda: _same(uris))

    async def follow(self, caller: McpCaller, session: Session, out: Answering) -> None:
        """The stream of a session: all its lists, and the resources it subscribed to."""
        kinds = [name for name in _LISTS if _is_served(caller, name)]
        stream = _Stream(caller, out.say, {}, frozenset(kinds))

        async def watched() -> Iterable[str]:
            state = await self.sessions.state(session)
            if state.ended:
                raise _Over
            return state.watched

        with self._counted(caller):
            async with self.standing.followed(_servers(stream), stream.hear):
                # What changes once the client hears us is told: the lists are looked at before.
                before = await self._fingerprints(stream)
                await out.begin()
                out.keep_alive()
                await self._told(stream, before, watched)

    async def subscribe(self, x: Exchange) -> None:
        """`resources/subscribe`: told of on the session's stream."""
        uri = _uri(x)
        if not _is_granted(x.caller, uri):
            raise no_resource(x.caller, uri)
        session = _session(x)
        state = await self.sessions.state(session)
        if uri not in state.watched and len(state.watched) >= MCP_WATCHED_MAX:
            raise Fault(
                INVALID_PARAMS, f"a session watches {MCP_WATCHED_MAX} resources at the most"
            )
        await self.sessions.change(
            session, lambda s: replace(s, watched=tuple(dict.fromkeys((*s.watched, uri))))
        )

    async def unsubscribe(self, x: Exchange) -> None:
        """`resources/unsubscribe`."""
        uri = _uri(x)
        await self.sessions.change(
            _session(x), lambda s: replace(s, watched=tuple(w for w in s.watched if w != uri))
        )

    def _counted(self, caller: McpCaller) -> "_Counted":
        run = caller.identity.run
        if self._open.total() >= MCP_STREAMS_MAX or self._open[run] >= MCP_STREAMS_OF_RUN_MAX:
            raise Fault(BUSY, "Too many streams are open: close one")
        return _Counted(self._open, run)

    async def _told(
        self,
        stream: _Stream,
        before: dict[str, bytes],
        watched: Callable[[], Awaitable[Iterable[str]]],
    ) -> None:
        """Tell of changes until the run ends, the session ends or the client goes."""
        looked = self.monotonic()
        try:
            while True:
                await self._watch(stream, await watched())
                heard = await stream.pause()
                if heard:
                    self._found.clear()  # what was found a moment ago is older than that
                if self.monotonic() - looked > MCP_KEEPALIVE_SECONDS:
                    looked = self.monotonic()
                    await self.standings.check(stream.caller)
                now = await self._fingerprints(stream)
                for name in sorted(stream.lists):
                    if name in heard or now[name] != before[name]:
                        await stream.tell(_LISTS[name], {})
                before = now
        except (_Over, Unidentified):
            pass  # the session or the run has ended
        finally:
            watching = list(stream.watched.values())
            stream.watched.clear()
            for task in watching:
                task.cancel()

    async def _fingerprints(self, stream: _Stream) -> dict[str, bytes]:
        """What each list looks like; callers that are served alike share an answer."""
        caller, noticed = stream.caller, self.listing.checkpoint.watch.noticed
        server = "" if caller.server is None else caller.server.name
        # A freeze may be of one run alone.
        whose = caller.identity.run if noticed.frozen else ""
        key = (caller.binding.agent.revision, server, whose, stream.lists)
        found = self._found.get(key)
        if found is not None and self.monotonic() - found[0] < MCP_WATCH_SECONDS / 2:
            return found[1]
        if len(self._found) > MCP_STREAMS_MAX:
            self._found.clear()
        made = {name: await self._fingerprint(caller, name) for name in stream.lists}
        self._found[key] = (self.monotonic(), made)
        return made

    async def _fingerprint(self, caller: McpCaller, name: str) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        cursor: str | None = None
        while True:
            match name:
                case "toolsListChanged":
                    shown, cursor = await self.listing.page(caller, cursor)
                case "promptsListChanged":
                    shown, cursor = await self.readings.prompts(caller, cursor)
                case _:
                    shown, cursor = await self.readings.resources(caller, cursor)
            digest.update(shown)
            if cursor is None:
                return digest.digest()

    async def _watch(self, stream: _Stream, uris: Iterable[str]) -> None:
        """Begin to watch what is new, end what is not wanted any more."""
        wanted = frozenset(uris)
        for uri in stream.watched.keys() - wanted:
            stream.watched.pop(uri).cancel()
        for uri in wanted - stream.watched.keys():
            stream.watched[uri] = asyncio.ensure_future(self._updates(stream, uri))

    async def _updates(self, stream: _Stream, uri: str) -> None:
        """One resource, watched at its server: an action, and another one after a while."""
        place = resource_at(stream.caller, uri)
        proposal = Proposal(
            credential=stream.caller.credential,
            kind="resource",
            target=f"{place.server}/{place.name}",
            arguments=b"{}",
            content=Content(rest=orjson.dumps({"watch": uri})),
        )
        while uri in stream.watched:
            outcome = await self.passing.out(proposal, self._watched(stream, uri))
            if not isinstance(outcome, Done):
                return
            if outcome.receipt.status != "done":
                await asyncio.sleep(MCP_REWATCH_SECONDS)

    def _watched(self, stream: _Stream, uri: str) -> Effect:
        ask = Ask(method="subscriptions/listen", seconds=None, era="stateless")

        async def on_said(said: Said) -> Reply | None:
            if said.method == _UPDATED and not said.is_request:
                told = plain(said.params, "what the server says")
                if isinstance(told, dict) and told.get("uri") == uri:
                    await stream.tell(_UPDATED, {"uri": uri})
            return None

        async def effect(cleared: Cleared) -> Receipt:
            try:
                async with asyncio.timeout(MCP_WATCHED_SECONDS):
                    return await self.mcp.open(cleared, ask, on_said)
            except (TimeoutError, asyncio.CancelledError):
                # It is over because we say so, and nothing is in doubt about having listened.
                return Receipt(status="done", result=b"{}")

        return effect


class _Over(Exception):
    """Nothing more is to be told."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """Counts a stream while it lives."""

    open: Counter[str]
    run: str

    def __enter__(self) -> None:
        self.open[self.run] += 1

    def __exit__(self, *_: object) -> None:
        self.open[self.run] -= 1
        if not self.open[self.run]:
            del self.open[self.run]


def _servers(stream: _Stream) -> list[Server]:
    """Those that the lists a stream tells of come from."""
    caller = stream.caller
    if not stream.lists:
        return []
    fleet, agent = caller.binding.fleet, caller.binding.agent
    backends = (fleet.tools[tool].backend for tool in agent.tools)
    names = {b.server for b in backends if isinstance(b, McpBackend)}
    names |= {server.name for server, _ in caller.grants()}
    if caller.server is not None:
        names &= {caller.server.name}
    return [fleet.servers[name] for name in sorted(names)]


async def _same(uris: list[str]) -> Iterable[str]:
    return uris


def _is_served(caller: McpCaller, name: str) -> bool:
    if name == "promptsListChanged":
        return has_prompts(caller)
    return has_resources(caller) if name == "resourcesListChanged" else True


def _is_true(wanted: Members, name: str) -> bool:
    return bytes(wanted.get(name, Raw(b""))) == b"true"


def _uris(wanted: Members) -> list[str]:
    found = plain(wanted.get("resourceSubscriptions", b"[]"), "`resourceSubscriptions`")
    if not isinstance(found, list) or not all(isinstance(uri, str) for uri in found):
        raise Fault(INVALID_PARAMS, "`resourceSubscriptions` is a list of URIs")
    if len(found) > MCP_WATCHED_MAX:
        raise Fault(INVALID_PARAMS, f"a stream watches {MCP_WATCHED_MAX} resources at the most")
    return list(dict.fromkeys(found))


def _is_granted(caller: McpCaller, uri: str) -> bool:
    return any(permits(grant, "resource", uri) for _, grant in caller.grants())


def _uri(x: Exchange) -> str:
    uri = text_of(x.params, "uri")
    if not uri:
        raise Fault(INVALID_PARAMS, "`uri` is missing")
    return uri


def _session(x: Exchange) -> Session:
    assert x.caller.session is not None, "methods of sessions have one"
    return x.caller.session
