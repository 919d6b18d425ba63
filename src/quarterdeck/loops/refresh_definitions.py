"""Looks at what MCP servers offer before it is too old to be relied on."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import McpBackend

Refresh: TypeAlias = Callable[[Iterable[Server], frozenset[str]], Awaitable[None]]


async def refresh_definitions(bindings: Bindings, refresh: Refresh) -> None:
    """Look again at the servers of the fleet in force, those whose turn it is; nobody waits."""
    fleet = await bindings.in_force()
    if fleet is None:
        return
    servers = [server for server in fleet.servers.values() if server.protocol == "mcp"]
    granted = frozenset(
        tool.backend.tool for tool in fleet.tools.values() if isinstance(tool.backend, McpBackend)
    )
    await refresh(servers, granted)
