"""The routes of MCP, and what serves them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.gateways.llm.routes import Endpoint
from quarterdeck.gateways.mcp.asks import Asks
from quarterdeck.gateways.mcp.calls import ToolUse
from quarterdeck.gateways.mcp.door import Door
from quarterdeck.gateways.mcp.forwarding import Forwarding
from quarterdeck.gateways.mcp.gateway import McpGateway
from quarterdeck.gateways.mcp.listing import ToolListing
from quarterdeck.gateways.mcp.methods import Methods
from quarterdeck.gateways.mcp.open_requests import OpenRequests
from quarterdeck.gateways.mcp.passing import Passing
from quarterdeck.gateways.mcp.places import Places
from quarterdeck.gateways.mcp.reading import Readings
from quarterdeck.gateways.mcp.sessions import McpSessions
from quarterdeck.gateways.mcp.standing import Standings
from quarterdeck.gateways.mcp.watching import Watching
from quarterdeck.upstream.tools.mcp import McpTools


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the gateway is made of."""

    checkpoint: Checkpoint
    mcp: McpTools
    use: Callable[[Cleared], Awaitable[Receipt]]
    door: Door
    places: Places


def build(parts: Parts) -> McpGateway:
    """The gateway of one process."""
    checkpoint, mcp = parts.checkpoint, parts.mcp
    db, keyring, clock, dice = checkpoint.db, checkpoint.keyring, checkpoint.clock, checkpoint.dice
    passing, standings = Passing(checkpoint), Standings(checkpoint)
    sessions = McpSessions(db=db, keyring=keyring, clock=clock, dice=dice)
    listing = ToolListing(catalog=mcp.catalog, checkpoint=checkpoint)
    asks = Asks(passing=passing, db=db, keyring=keyring, clock=clock, dice=dice)
    forwarding = Forwarding(mcp=mcp, asks=asks)
    readings = Readings(catalog=mcp.catalog, passing=passing, asks=asks, forwarding=forwarding)
    watching = Watching(
        listing=listing,
        readings=readings,
        passing=passing,
        sessions=sessions,
        mcp=mcp,
        standings=standings,
        monotonic=clock.monotonic,
    )
    methods = Methods(
        listing=listing,
        use=ToolUse(
            listing=listing, passing=passing, asks=asks, forwarding=forwarding, use=parts.use
        ),
        readings=readings,
        sessions=sessions,
        watching=watching,
    )
    return McpGateway(
        checkpoint=checkpoint,
        methods=methods,
        sessions=sessions,
        asks=asks,
        passing=passing,
        standings=standings,
        door=parts.door,
        places=parts.places,
        open=OpenRequests(),
    )


def endpoints(gateway: McpGateway) -> dict[tuple[str, str], Endpoint]:
    """Every route of MCP, by method and path."""
    served: dict[str, Endpoint] = {
        "POST": gateway.post,
        "GET": gateway.get,
        "DELETE": gateway.delete,
    }
    return {
        (method, path): endpoint
        for path in ("/mcp", "/mcp/{server}")
        for method, endpoint in served.items()
    }
