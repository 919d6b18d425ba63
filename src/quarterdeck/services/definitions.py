"""Tools and the servers they live at: what each is, what is in quarantine, and letting it out.

What servers offer is read as it was stored, by whichever process looked last; a circuit or a
process that ended is known only to the process that answers.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.definition_diff import difference
from quarterdeck.domain.definitions import (
    PIN_PREFIX,
    Releases,
    ServerState,
    granted_hashes,
    identity_of,
)
from quarterdeck.domain.errors import Conflict, Invalid, NotFound, Overtaken
from quarterdeck.domain.ids import ServerName, ToolName
from quarterdeck.domain.ledger import NONCE_BYTES
from quarterdeck.domain.people import Caller, authorise, authorise_whole
from quarterdeck.domain.tools import McpBackend, Tool
from quarterdeck.services.definition_readings import (
    Known,
    OfferReading,
    ServerReading,
    ToolDetail,
    ToolReading,
    granted_body,
    offer_of,
    parsed,
    reading_of,
    server_of,
    signs_of,
)
from quarterdeck.sources import Dice
from quarterdeck.store import definitions
from quarterdeck.store.database import Database, Reading, Row, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """The use cases of tools and servers."""

    db: Database
    bindings: Bindings
    dice: Dice
    states: Callable[[], tuple[ServerState, ...]] = tuple
    #: Tells this process at once what was released; the others look by themselves.
    released: Callable[[], Awaitable[None]] | None = None

    async def list_tools(self, caller: Caller) -> list[ToolReading]:
        """Every contract in force, by name."""
        authorise(caller, "read")
        known = await self._known(caller)
        if known is None:
            return []
        return [reading_of(known, tool) for _, tool in sorted(known.fleet.tools.items())]

    async def show_tool(self, caller: Caller, name: str) -> ToolDetail:
        """One contract, with the difference between what was granted and what is offered."""
        authorise(caller, "read")
        known, tool = await self._tool(caller, name)
        reading = reading_of(known, tool)
        if not isinstance(tool.backend, McpBackend):
            return ToolDetail(
                reading=reading,
                description=tool.description,
                changes=(),
                is_compared=True,
                signs=(),
                released=(),
            )
        identity, at = known.identities[tool.backend.server], tool.backend.tool
        row = known.offers[tool.backend.server].get(at)
        granted = await self.db.read(lambda tx: granted_body(tx, reading, tool))
        released = await self.db.read(lambda tx: definitions.list_released(tx, identity, at))
        offered = None if row is None or row["gone_at"] is not None else parsed(row["body"])
        is_pinned = reading.state == "pinned"
        return ToolDetail(
            reading=reading,
            description=tool.description,
            changes=() if is_pinned or offered is None else difference(granted, offered),
            is_compared=is_pinned or granted is not None,
            signs=() if offered is None else signs_of(known, offered, tool.backend.server),
            released=tuple(released),
        )

    async def release(
        self,
        caller: Caller,
        name: str,
        hash_: str,
        *,
        expected: frozenset[str] | None = None,
    ) -> ToolReading:
        """Grant exactly the definition with this hash. Only an owner may; it is recorded.

        Raises Overtaken where the server offers another one by now, or `expected` was seen before.
        """
        authorise_whole(caller, "apply")
        known, tool = await self._tool(caller, name)
        backend = tool.backend
        if not isinstance(backend, McpBackend):
            raise Conflict(
                f"`{name}` is no tool of an MCP server", hint="there is nothing to release"
            )
        if not hash_.startswith(PIN_PREFIX):
            raise Invalid(
                "that is no hash of a definition", hint=f"see `quarterdeck tools show {name}`"
            )
        fields = {
            "identity": known.identities[backend.server],
            "tool": backend.tool,
            "hash": hash_,
            "server": str(backend.server),
            "by": caller.id,
        }
        granted = granted_hashes(tool, fields["identity"], known.releases)
        nonce = self.dice.bytes(NONCE_BYTES)

        def write(tx: Transaction) -> None:
            _check_offered(tx, name, fields, expected)
            if hash_ not in granted:
                definitions.release(tx, fields, nonce)

        await self.db.write(write)
        if self.released is not None:
            await self.released()
        known, tool = await self._tool(caller, name)
        return reading_of(known, tool)

    async def list_servers(self, caller: Caller) -> list[ServerReading]:
        """Every server of the fleet in force, by name."""
        authorise(caller, "read")
        known = await self._known(caller)
        if known is None:
            return []
        states = {state.identity: state for state in self.states()}
        return [
            server_of(known, server, states.get(known.identities[name]))
            for name, server in sorted(known.fleet.servers.items())
        ]

    async def show_server(
        self, caller: Caller, name: str
    ) -> tuple[ServerReading, list[OfferReading]]:
        """One server, and every tool that it offers or offered."""
        authorise(caller, "read")
        known = await self._known(caller)
        server = None if known is None else known.fleet.servers.get(ServerName(name))
        if known is None or server is None:
            raise NotFound(f"no server `{name}`", hint="see `quarterdeck servers list`")
        states = {state.identity: state for state in self.states()}
        rows = known.offers[name].values()
        return (
            server_of(known, server, states.get(known.identities[name])),
            [offer_of(known, server, row) for row in rows],
        )

    async def quarantined(self) -> list[ToolReading]:
        """Contracts that cannot be used as their servers are now, for `doctor`."""
        known = await self._known(None)
        if known is None:
            return []
        readings = (reading_of(known, tool) for _, tool in sorted(known.fleet.tools.items()))
        return [r for r in readings if r.state not in ("ready", "pinned", "unknown")]

    async def _tool(self, caller: Caller | None, name: str) -> tuple[Known, Tool]:
        known = await self._known(caller)
        tool = None if known is None else known.fleet.tools.get(ToolName(name))
        if known is None or tool is None:
            raise NotFound(f"no tool `{name}`", hint="see `quarterdeck tools list`")
        return known, tool

    async def _known(self, caller: Caller | None) -> Known | None:
        fleet = await self.bindings.in_force()
        if fleet is None:
            return None
        servers = {n: s for n, s in fleet.servers.items() if s.protocol == "mcp"}
        identities = {str(name): identity_of(server) for name, server in fleet.servers.items()}

        def read(tx: Reading) -> tuple[Releases, dict[str, dict[str, Row]]]:
            offers = {
                str(name): {
                    row["tool"]: row for row in definitions.list_offered(tx, identities[name])
                }
                for name in servers
            }
            return definitions.releases(tx), offers

        releases, offers = await self.db.read(read)
        names = frozenset(
            tool.backend.tool
            for tool in fleet.tools.values()
            if isinstance(tool.backend, McpBackend)
        )
        sees = caller.sees if caller is not None else _all
        return Known(fleet, releases, offers, identities, names, sees)


def _all(_: str) -> bool:
    return True


def _check_offered(
    tx: Transaction, name: str, fields: Mapping[str, str], expected: frozenset[str] | None
) -> None:
    """Raise unless the server offers exactly what is to be released."""
    row = definitions.find_offered(tx, fields["identity"], fields["tool"])
    if row is None or row["gone_at"] is not None:
        raise Conflict(
            f"server `{fields['server']}` does not offer `{name}`",
            hint="see `quarterdeck servers show " + fields["server"] + "`",
        )
    if row["hash"] != fields["hash"] or (expected is not None and row["hash"] not in expected):
        raise Overtaken(
            f"server `{fields['server']}` offers another definition of `{name}` by now",
            hint=f"look at it first: quarterdeck tools diff {name}",
        )
