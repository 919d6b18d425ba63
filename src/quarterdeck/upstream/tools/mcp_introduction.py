"""A first meeting with an MCP server that no fleet names yet, for the person who names it here.

Not for agents, and not on a server: it runs in the program of whoever types the URL or the command.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from quarterdeck.domain.consents import Challenge
from quarterdeck.domain.definitions import Listed
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.mcp.exchanges import Answered, Discovered, Unreadable, Wanted
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.credentials import Shown
from quarterdeck.upstream.pool import Pool
from quarterdeck.upstream.tools.mcp_http import HttpPeer
from quarterdeck.upstream.tools.mcp_listing import AskList, listed
from quarterdeck.upstream.tools.mcp_process import Home
from quarterdeck.upstream.tools.mcp_stdio import StdioPeer


async def introduced(server: Server, secret: str | None) -> Listed:
    """What a server offers; `secret` is shown as a bearer token. Raises Unavailable."""
    try:
        if server.command:
            return await _command(server)
        return await _url(server, {} if secret is None else {"authorization": f"Bearer {secret}"})
    except (Unreadable, TimeoutError) as error:
        raise Unavailable(
            f"cannot import from server `{server.name}`: {error}",
            hint="check that it is an MCP server, and that it runs",
        ) from error


async def _url(server: Server, headers: Mapping[str, str]) -> Listed:
    async with Pool() as pool:
        peer = HttpPeer(
            pool,
            server,
            capabilities=b"{}",
            instead=_nothing_else,
            known={},
        )
        shown = Shown(server=server, headers=headers)

        async def ask(wanted: Wanted) -> Answered:
            return await peer.ask(wanted, shown)

        try:
            said = await peer.open(shown)
            return await _listed(server, said, ask)
        finally:
            await peer.close()


async def _command(server: Server) -> Listed:
    with tempfile.TemporaryDirectory() as folder:
        peer = StdioPeer(
            server,
            home=Home(folder=Path(folder) / "servers"),
            capabilities=b"{}",
            known={},
            monotonic=time.monotonic,
        )

        async def ask(wanted: Wanted) -> Answered:
            return await peer.ask(wanted, server.environment)

        try:
            said = await peer.open(server.environment)
            return await _listed(server, said, ask)
        finally:
            await peer.close()


async def _listed(server: Server, said: Discovered, ask: AskList) -> Listed:
    return await listed(server, said, ask, before=Listed(server=server.name), now=1)


async def _nothing_else(_: Shown, __: Challenge) -> Shown | None:
    return None
