"""Which tools a caller may ask for: one answer, for listing and for calling.

Grant, autonomy, quarantine and freezes decide here; arguments, rates and budgets are asked when
there is a call. At `/mcp` a tool is what its contract says; at `/mcp/{server}` it is what its
server says, byte for byte.
"""

import asyncio
import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import orjson

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.stages import autonomy_verdict, frozen_verdict, granted_tool
from quarterdeck.domain.definitions import Definition, Listed, Releases
from quarterdeck.domain.ids import RevisionHash
from quarterdeck.domain.limits import MCP_LIST_SECONDS_MAX, MCP_PAGE_ITEMS
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, Fault
from quarterdeck.domain.mcp.headers import Annotated, annotated
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import McpBackend, Tool
from quarterdeck.domain.verdicts import Verdict
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.upstream.tools.mcp_catalog import Catalog

PIECES_MAX: Final = 20_000
NAMES_MAX: Final = 100_000
LOOK_SECONDS: Final = 1
CURSOR_MAX: Final = 512
Piece = tuple[bytes, tuple[Annotated, ...] | None]


class Named:
    """Tools by their names at one endpoint, sorted; a name stands for one tool."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self.names = tuple(sorted(tools))
        self.tools = {name: tools[name] for name in self.names}
        self.servers = frozenset(
            tool.backend.server for tool in tools.values() if isinstance(tool.backend, McpBackend)
        )
        #: By the monotonic clock: when a list was last preceded by a look at the servers.
        self.looked_at = float("-inf")


@dataclass(slots=True, kw_only=True)
class ToolListing:
    """The tools of a caller, in an order that never depends on anything but their names."""

    catalog: Catalog
    checkpoint: Checkpoint
    #: A tool as it is listed, by its contract's digest and its definition's hash.
    _pieces: dict[tuple[str, str, bool], Piece] = field(default_factory=dict)
    #: Names at an endpoint, by revision and server: both are fixed.
    _named: dict[tuple[RevisionHash, str], Named] = field(default_factory=dict)
    #: What the catalog said of a contract and a definition, under the releases it knew.
    _granted: dict[tuple[str, str], bool] = field(default_factory=dict)
    _releases: Releases = field(default_factory=dict)

    def named(self, caller: McpCaller) -> Named:
        """Granted tools by their names at this endpoint."""
        server = caller.server
        key = (caller.binding.agent.revision, "" if server is None else server.name)
        found = self._named.get(key)
        if found is None:
            if sum(len(known.names) + 1 for known in self._named.values()) > NAMES_MAX:
                self._named.clear()
            found = self._named[key] = Named(_at_endpoint(caller))
        return found

    def find(self, caller: McpCaller, name: str) -> Tool | None:
        """The granted tool of that name at this endpoint."""
        if caller.server is None:
            return granted_tool(name, caller.binding)
        return self.named(caller).tools.get(name)

    def is_askable(self, caller: McpCaller, tool: Tool) -> bool:
        """Whether a call of this tool would be looked at, rather than refused whatever it says."""
        if not self._is_granted(caller, tool, self._definition(caller, tool)):
            return False
        if autonomy_verdict(caller.binding.agent, tool).answer == "deny":
            return False
        noticed = self.checkpoint.watch.noticed
        if noticed.frozen:
            return frozen_verdict(caller.identity, tool.name, noticed).answer != "deny"
        return True

    def _is_granted(self, caller: McpCaller, tool: Tool, definition: Definition | None) -> bool:
        """What the catalog's verdict is, asked once for a contract, a definition and releases."""
        if self.catalog.releases is not self._releases:
            if self.catalog.releases != self._releases:
                self._granted.clear()
            self._releases = self.catalog.releases
        key = (tool.digest, "" if definition is None else definition.hash)
        found = self._granted.get(key) if definition is not None else None
        if found is None:
            verdict = self.catalog.verdict(tool, caller.binding.fleet.servers)
            found = verdict.answer != "deny"
            if len(self._granted) > PIECES_MAX:
                self._granted.clear()
            self._granted[key] = found
        return found

    async def quarantine(self, caller: McpCaller, tool: Tool) -> Verdict:
        """Whether a tool's definition is the granted one, with a look at it if that is not sure."""
        servers = caller.binding.fleet.servers
        verdict = self.catalog.verdict(tool, servers)
        return verdict if verdict.answer != "deny" else await self.catalog.fresh(tool, servers)

    async def page(self, caller: McpCaller, cursor: str | None) -> tuple[bytes, str | None]:
        """The tools from a cursor on, as members of a JSON array, and the next cursor."""
        named = self.named(caller)
        now = self.checkpoint.clock.monotonic()
        if now - named.looked_at > LOOK_SECONDS:
            servers = caller.binding.fleet.servers
            await look([servers[name] for name in sorted(named.servers)], self.catalog)
            named.looked_at = now
        tools = named.tools
        return page(named.names, cursor, lambda name: self._shown(caller, tools[name]))

    def _shown(self, caller: McpCaller, tool: Tool) -> bytes | None:
        if not self.is_askable(caller, tool):
            return None
        piece = self.piece(caller, tool)
        return None if piece is None else piece[0]

    def _definition(self, caller: McpCaller, tool: Tool) -> Definition | None:
        backend = tool.backend
        if not isinstance(backend, McpBackend):
            return None
        return self.catalog.definition(caller.binding.fleet.servers[backend.server], backend.tool)

    def piece(self, caller: McpCaller, tool: Tool) -> Piece | None:
        """A tool as it is listed here, and which arguments headers repeat; None if it cannot be."""
        definition = self._definition(caller, tool)
        if definition is None and isinstance(tool.backend, McpBackend):
            return None  # its server never said what it is
        raw = caller.server is not None
        key = (tool.digest, definition.hash if definition else "", raw)
        found = self._pieces.get(key)
        if found is None:
            if len(self._pieces) > PIECES_MAX:
                self._pieces.clear()
            found = self._pieces[key] = _made(tool, definition, raw=raw)
        # One whose headers nobody could write is not served: clients would leave it out too.
        return None if found[1] is None else found


async def look(servers: Iterable[Server], catalog: Catalog) -> list[Listed]:
    """What servers offer, asked all at once: who does not answer in time hurts nobody else."""
    looks = [asyncio.ensure_future(catalog.of(server)) for server in servers]
    if not looks:
        return []
    done, late = await asyncio.wait(looks, timeout=MCP_LIST_SECONDS_MAX)
    for task in late:
        task.cancel()
    return [task.result() for task in looks if task in done and task.exception() is None]


def _at_endpoint(caller: McpCaller) -> dict[str, Tool]:
    fleet, server = caller.binding.fleet, caller.server
    tools = [fleet.tools[name] for name in sorted(caller.binding.agent.tools)]
    if server is None:
        return {tool.name: tool for tool in tools}
    found: dict[str, Tool] = {}
    for tool in tools:
        if isinstance(tool.backend, McpBackend) and tool.backend.server == server.name:
            found.setdefault(tool.backend.tool, tool)
    return found


def _made(tool: Tool, definition: Definition | None, *, raw: bool) -> Piece:
    if raw and definition is not None:
        written = definition.raw
        schema = orjson.loads(written).get("inputSchema")
    else:
        schema = dict(tool.arguments)
        # A copy: what `orjson` gives keeps 4 KB for itself, however short it is.
        written = bytes(memoryview(orjson.dumps(_described(tool, definition))))
    try:
        return written, annotated(schema)
    except ValueError:
        return written, None


def _described(tool: Tool, definition: Definition | None) -> dict[str, Any]:
    """A tool as its contract says it: its words, its schema, and its effect as hints."""
    said: dict[str, Any] = orjson.loads(definition.raw) if definition is not None else {}
    described: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": dict(tool.arguments),
        "annotations": {
            "readOnlyHint": tool.effect == "read",
            "destructiveHint": tool.effect in ("write", "privileged") and tool.reversible is None,
            "idempotentHint": tool.idempotent,
            "openWorldHint": tool.effect == "egress" or bool(tool.messages),
        },
    }
    # Only a server that says so answers with structure; a contract alone would promise it for it.
    if "outputSchema" in said:
        described["outputSchema"] = said["outputSchema"]
    return described


def page(
    names: Sequence[str], cursor: str | None, show: Callable[[str], bytes | None]
) -> tuple[bytes, str | None]:
    """What is shown of sorted names after a cursor, joined; and the cursor of what is left."""
    begin = 0 if cursor is None else bisect_right(names, position(cursor))
    shown: list[bytes] = []
    last = ""
    for name in islice(names, begin, None):
        if (written := show(name)) is None:
            continue
        if len(shown) == MCP_PAGE_ITEMS:
            return b",".join(shown), base64.urlsafe_b64encode(last.encode()).decode()
        shown.append(written)
        last = name
    return b",".join(shown), None


def position(cursor: str) -> str:
    """Where a list goes on; raises Fault for a cursor that we never gave."""
    try:
        if len(cursor) <= CURSOR_MAX:
            return base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        pass
    raise Fault(INVALID_PARAMS, "This cursor is none of ours: begin the list anew")
