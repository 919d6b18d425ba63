"""The definitions this process knows of its MCP servers, and whether each is the granted one.

They are looked at again when they are old, when a server says that they changed, and before a call;
what is known is answered at once. One server that is sick, slow or noisy delays no other.
INVARIANT: a server that could not be looked at lately has no granted definition: its calls wait for
a look, and are not made without one.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace

from quarterdeck.domain.definitions import (
    Definition,
    Listed,
    Releases,
    ServerState,
    granted_hashes,
    identity_of,
    judge,
    verdict_of,
)
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.ledger import NONCE_BYTES
from quarterdeck.domain.limits import (
    DEFINITIONS_LISTED_AT_ONCE,
    DEFINITIONS_SECONDS,
    DEFINITIONS_WAIT_SECONDS_MAX,
    ERROR_CHARACTERS_MAX,
    MCP_LIST_SECONDS_MAX,
    SERVER_BACKOFF_SECONDS_MAX,
    SERVER_OPEN_SECONDS_MAX,
    VENDOR_LINES_MAX,
)
from quarterdeck.domain.mcp.exchanges import Answered, Unreadable, Wanted
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import McpBackend, Tool
from quarterdeck.domain.verdicts import Verdict, allow, deny
from quarterdeck.sources import Clock, Dice
from quarterdeck.store import definitions
from quarterdeck.store.database import Database
from quarterdeck.upstream.tools.mcp_listing import listed
from quarterdeck.upstream.tools.mcp_peers import Peers

_NO_DEFINITION = allow("quarantine:none", "not a tool of an MCP server")


@dataclass(slots=True)
class _Known:
    """One server, as far as it is known."""

    server: Server
    identity: str
    listed: Listed
    by_name: dict[str, Definition] = field(default_factory=dict)
    #: By the monotonic clock: when it was looked at last, and when a look failed last.
    looked_at: float | None = None
    failed_at: float | None = None
    failures: int = 0
    looking: "asyncio.Task[None] | None" = None
    is_loaded: bool = False

    def take(self, found: Listed) -> None:
        """Know this from now on."""
        self.listed = found
        self.by_name = {definition.name: definition for definition in found.tools}


@dataclass(slots=True, kw_only=True)
class Catalog:
    """What servers offer."""

    peers: Peers
    db: Database
    clock: Clock
    dice: Dice
    _known: dict[str, _Known] = field(default_factory=dict)
    #: By the object itself: fleets are kept as they were loaded, and hashing one costs.
    _identities: dict[int, tuple[Server, str]] = field(default_factory=dict)
    _releases: Releases = field(default_factory=dict)
    _granted_names: frozenset[str] = frozenset()
    _due: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _in_turn: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(DEFINITIONS_LISTED_AT_ONCE)
    )

    async def of(self, server: Server) -> Listed:
        """What a server offers, as far as it is known: never waits longer than a short bound.

        A server that cannot be asked now is answered from what was stored; `Listed.problem`
        says why.
        """
        known = self._of(server)
        if self._is_old(known) and self._may_look(known):
            looking = self._look(known)
            if not known.listed.listed_at:
                await asyncio.wait((looking,), timeout=MCP_LIST_SECONDS_MAX)
        if not known.listed.listed_at and not known.is_loaded:
            await self._load(known)
        return known.listed

    async def fresh(self, tool: Tool, servers: Mapping[ServerName, Server]) -> Verdict:
        """As `verdict`, after a look at the server where the last one is too old."""
        backend = tool.backend
        if not isinstance(backend, McpBackend):
            return _NO_DEFINITION
        known = self._of(servers[backend.server])
        if self._is_old(known):
            await asyncio.wait((self._look(known),), timeout=DEFINITIONS_WAIT_SECONDS_MAX)
        if self._is_old(known):
            because = known.listed.problem or "it has not said yet what it offers"
            return deny("quarantine:unknown", f"`{tool.name}` cannot be used now: {because}")
        return self._verdict(tool, backend, known)

    def verdict(self, tool: Tool, servers: Mapping[ServerName, Server]) -> Verdict:
        """Whether a tool's definition is the granted one: allow, or deny `quarantine:…`.

        Lists and calls ask this, and the effect asks it once more before its first byte.
        `servers` are those of the fleet the tool is of. What is no MCP tool is allowed.
        """
        backend = tool.backend
        if not isinstance(backend, McpBackend):
            return _NO_DEFINITION
        return self._verdict(tool, backend, self._of(servers[backend.server]))

    def holding(self, tool: Tool, servers: Mapping[ServerName, Server]) -> Verdict:
        """As `verdict` for a first byte: what changed since the last look is not known any more."""
        backend = tool.backend
        if isinstance(backend, McpBackend) and self._of(servers[backend.server]).looked_at is None:
            because = f"`{tool.name}` was not begun: its server has changed what it offers"
            return deny("quarantine:unknown", because)
        return self.verdict(tool, servers)

    def quarantine(self, tool: Tool, servers: Mapping[ServerName, Server]) -> Verdict:
        """As `verdict` for an admission: what is not known yet is looked at before its effect."""
        verdict = self.verdict(tool, servers)
        return _NO_DEFINITION if verdict.reasons[0].rule == "quarantine:unknown" else verdict

    def hash_of(self, tool: Tool) -> str:
        """The hash of what a tool's server says of it now: what an approval is bound to."""
        backend = tool.backend
        if not isinstance(backend, McpBackend):
            return ""
        for known in self._known.values():
            if known.server.name == backend.server and (at := known.by_name.get(backend.tool)):
                return at.hash
        return backend.pin or ""

    @property
    def releases(self) -> Releases:
        """What owners released, as far as it is known: another object when it was read again."""
        return self._releases

    def definition(self, server: Server, tool: str) -> Definition | None:
        """What a server says of one of its tools, as it is known."""
        return self._of(server).by_name.get(tool)

    def changed(self, server: Server) -> None:
        """A server said that what it offers has changed: it is looked at before it is used."""
        self._of(server).looked_at = None

    async def look_again(self, server: Server) -> None:
        """Look at a server that said so, and wait for that shortly; a look of before is too old."""
        known = self._of(server)
        if known.looking is not None:
            await asyncio.wait((known.looking,), timeout=DEFINITIONS_WAIT_SECONDS_MAX)
        known.looked_at = None
        await asyncio.wait((self._look(known),), timeout=DEFINITIONS_WAIT_SECONDS_MAX)

    def opened(self, server: Server) -> None:
        """Somebody signed in at a server: what failed before is worth another look at once."""
        known = self._of(server)
        known.looked_at, known.failed_at, known.failures = None, None, 0

    async def refresh(self, servers: Iterable[Server], names: frozenset[str]) -> None:
        """Look at servers whose definitions are old; `names` are the tools somebody granted.

        Idempotent, and does not wait for them: a few are asked at once. A command that nobody
        uses is left alone: what it offers cannot change before it is started again.
        """
        self._granted_names = names
        self._releases = await self.db.read(definitions.releases)
        self.peers.sweep()
        for known in map(self._of, servers):
            if known.looking is None and known.identity not in self._due and self._is_due(known):
                task = asyncio.create_task(self._look_in_turn(known))
                self._due[known.identity] = task
                task.add_done_callback(partial(self._looked_in_turn, known.identity))

    async def settled(self) -> None:
        """Wait for the looks that are under way."""
        while self._due:
            await asyncio.wait(list(self._due.values()))

    async def released(self) -> None:
        """Know what owners have released since."""
        self._releases = await self.db.read(definitions.releases)

    def states(self) -> tuple[ServerState, ...]:
        """Every server this process knows, as people are shown it."""
        return tuple(
            ServerState(
                server=known.server.name,
                identity=known.identity,
                version=known.listed.version,
                listed_at=known.listed.listed_at,
                problem=known.listed.problem,
                tools=len(known.by_name),
                is_running=not self.peers.is_idle_command(known.server)
                if known.server.command
                else None,
            )
            for known in sorted(self._known.values(), key=lambda known: known.server.name)
        )

    async def close(self) -> None:
        """Stop looking."""
        looking = [known.looking for known in self._known.values() if known.looking is not None]
        looking += self._due.values()
        for task in looking:
            task.cancel()
        if looking:
            await asyncio.wait(looking)

    def _verdict(self, tool: Tool, backend: McpBackend, known: _Known) -> Verdict:
        judgement = judge(
            known.by_name.get(backend.tool),
            is_listed=known.listed.listed_at > 0,
            granted=granted_hashes(tool, known.identity, self._releases),
            name=backend.tool,
            others=self._granted_names,
        )
        return verdict_of(tool.name, judgement)

    def _of(self, server: Server) -> _Known:
        cached = self._identities.get(id(server))
        if cached is None or cached[0] is not server:
            if len(self._identities) > 10 * VENDOR_LINES_MAX:
                self._identities.clear()
            cached = self._identities[id(server)] = (server, identity_of(server))
        known = self._known.get(cached[1])
        if known is None:
            known = _Known(server, cached[1], Listed(server=server.name))
            self._known[cached[1]] = known
        return known

    def _is_old(self, known: _Known) -> bool:
        looked = known.looked_at
        return looked is None or self.clock.monotonic() - looked > DEFINITIONS_SECONDS

    def _may_look(self, known: _Known) -> bool:
        """Not yet again, where it failed a moment ago."""
        if known.failed_at is None:
            return True
        wait = min(2.0**known.failures, SERVER_BACKOFF_SECONDS_MAX)
        return self.clock.monotonic() - known.failed_at > wait

    def _is_due(self, known: _Known) -> bool:
        """Somewhat before they are too old, so that calls need not wait."""
        if self.peers.is_idle_command(known.server) and known.is_loaded:
            return False
        looked = known.looked_at
        is_getting_old = looked is None or self.clock.monotonic() - looked > DEFINITIONS_SECONDS / 2
        return is_getting_old and self._may_look(known)

    def _look(self, known: _Known) -> "asyncio.Task[None]":
        """The look that is under way, or a new one. Whoever waits may leave."""
        if known.looking is None:
            known.looking = asyncio.create_task(self._looked(known))
        return known.looking

    async def _look_in_turn(self, known: _Known) -> None:
        async with self._in_turn:
            await asyncio.wait((self._look(known),))

    def _looked_in_turn(self, identity: str, _: asyncio.Task[None]) -> None:
        del self._due[identity]

    async def _looked(self, known: _Known) -> None:
        try:
            async with asyncio.timeout(SERVER_OPEN_SECONDS_MAX):
                await self._list(known)
        except (QuarterdeckError, Unreadable, TimeoutError) as error:
            known.failed_at = self.clock.monotonic()
            known.failures = min(known.failures + 1, 16)
            problem = str(error) or "it did not answer in time"
            if not known.is_loaded:
                await self._load(known)
            known.listed = replace(known.listed, problem=problem[:ERROR_CHARACTERS_MAX])
        finally:
            known.looking = None

    async def _list(self, known: _Known) -> None:
        server = known.server

        async def ask(wanted: Wanted) -> Answered:
            wanted = replace(wanted, seconds=server.timeout_seconds)
            return await self.peers.ask_as_platform(server, wanted)

        began = self.clock.monotonic()
        said = await self.peers.meet(server)
        found = await listed(server, said, ask, before=known.listed, now=self.clock.micros())
        seen = {definition.name: definition.hash for definition in known.listed.tools}
        now = {definition.name: definition.hash for definition in found.tools}
        if seen != now or not known.is_loaded or not known.listed.listed_at:
            await self._note(known, found)
        known.take(found)
        known.is_loaded = True
        # What changed while it was looked at counts as not yet seen.
        known.looked_at, known.failed_at, known.failures = began, None, 0

    async def _note(self, known: _Known, found: Listed) -> None:
        nonce = self.dice.bytes(NONCE_BYTES)
        await self.db.write(
            lambda tx: definitions.note(tx, known.identity, known.server.name, found.tools, nonce)
        )

    async def _load(self, known: _Known) -> None:
        """What was stored, for as long as the server itself cannot be asked."""
        rows = await self.db.read(lambda tx: definitions.list_offered(tx, known.identity))
        known.is_loaded = True
        stored = tuple(
            Definition(name=row["tool"], raw=row["body"].encode(), hash=row["hash"])
            for row in rows
            if row["gone_at"] is None and row["body"] is not None
        )
        if stored and not known.listed.listed_at:
            at = max(row["since"] for row in rows)
            known.take(replace(known.listed, tools=stored, listed_at=at))
