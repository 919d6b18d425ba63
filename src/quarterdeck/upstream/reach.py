"""Everything that reaches outside for an agent, built once for a process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.settings import Settings
from quarterdeck.upstream.consents import ServerConsents
from quarterdeck.upstream.credentials import Credentials
from quarterdeck.upstream.destinations import open_public_session
from quarterdeck.upstream.models.client import ModelClient
from quarterdeck.upstream.models.connections import Wireline
from quarterdeck.upstream.models.lines import Lines
from quarterdeck.upstream.pool import Pool
from quarterdeck.upstream.sessions import open_session
from quarterdeck.upstream.tokens import AccessTokens
from quarterdeck.upstream.tools.call import ToolCalls
from quarterdeck.upstream.tools.http import HttpTools
from quarterdeck.upstream.tools.mcp import connected
from quarterdeck.upstream.tools.mcp_process import Home
from quarterdeck.upstream.tools.python import PythonTools


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What goes over the network.

    `pool` leads to vendors and servers, `named` to what else the fleet names, `public` to public
    addresses only.
    """

    pool: Pool
    named: aiohttp.ClientSession
    public: aiohttp.ClientSession


@asynccontextmanager
async def connections() -> AsyncIterator[Connections]:
    """Open while the process lives."""
    async with Pool() as pool, open_session() as named, open_public_session() as public:
        yield Connections(pool=pool, named=named, public=public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Models and tools, and the lines to what they are at."""

    models: ModelClient
    tools: ToolCalls
    vendors: Lines
    servers: Lines
    consents: ServerConsents


def reach(settings: Settings, checkpoint: Checkpoint, outside: Connections) -> Reach:
    """Build it."""
    clock, dice, named = checkpoint.clock, checkpoint.dice, outside.named
    vendors, servers = Lines(clock.monotonic), Lines(clock.monotonic)
    private = (settings.master_key_file,)
    consents = ServerConsents(session=named, public=outside.public, clock=clock)
    credentials = Credentials(
        db=checkpoint.db,
        master=checkpoint.keyring.master,
        clock=clock,
        environment=settings.secrets,
        bindings=checkpoint.bindings,
        tokens=AccessTokens(session=named, clock=clock),
        consents=consents,
    )
    models = ModelClient(
        wireline=Wireline(outside.pool, clock.monotonic),
        credentials=credentials,
        lines=vendors,
        clock=clock,
        dice=dice,
        is_current=checkpoint.is_current,
        may_go_on=checkpoint.may_go_on,
    )
    http = HttpTools(
        pool=outside.pool,
        bindings=checkpoint.bindings,
        credentials=credentials,
        lines=servers,
        clock=clock,
        dice=dice,
        is_current=checkpoint.is_current,
        may_go_on=checkpoint.may_go_on,
    )
    mcp = connected(
        Home(folder=settings.folder / "servers", private=private),
        outside.pool,
        checkpoint=checkpoint,
        credentials=credentials,
        lines=servers,
    )
    python = PythonTools(folder=settings.folder / "tools", clock=clock, private=private)
    tools = ToolCalls(python=python, http=http, mcp=mcp, is_current=checkpoint.is_current)
    return Reach(models=models, tools=tools, vendors=vendors, servers=servers, consents=consents)
