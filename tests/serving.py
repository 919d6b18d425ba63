"""A running Quarterdeck for tests: the real parts, a real socket, an upstream of one's choice."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from quarterdeck.assembly import House, application, house
from quarterdeck.cli.protocol import Protocol
from quarterdeck.domain.people import Caller
from quarterdeck.services.runs import StartedRun
from quarterdeck.settings import Settings
from quarterdeck_standin.app import StandIn
from quarterdeck_standin.script import script_of
from quarterdeck_standin.server import serving as standin_serving

OWNER = Caller(id="local:test", role="owner")


@dataclass
class Running:
    """A server and what a test wants of it."""

    house: House
    url: str

    async def start_run(self, agent: str = "clerk") -> StartedRun:
        """An external run."""
        return await self.house.services.runs.start(OWNER, agent, {"text": "hi"}, kind="external")

    async def actions(self, run: str) -> list[dict[str, Any]]:
        """The run's actions, once every settlement has ended."""
        await self.house.settling.drain()
        return await self.house.services.actions.list_of_run(OWNER, run, after="", rows=500)


@contextlib.asynccontextmanager
async def running(
    folder: Path, files: Mapping[str, bytes], *, settings: Settings | None = None
) -> AsyncIterator[Running]:
    """Quarterdeck on a loopback port, with a fleet in force."""
    chosen = settings or Settings(folder=folder)
    async with house(chosen, role="all") as built:
        await built.services.changes.apply(OWNER, files)
        # Named TCP, or asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for it.
        listener = socket.socket(proto=socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(
                application(built),
                http=Protocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_level="critical",
                timeout_graceful_shutdown=1,
            )
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield Running(built, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def upstream(script: Mapping[str, Any]) -> AsyncIterator[tuple[str, StandIn]]:
    """The stand-in model playing a script: its address, and what it counted."""
    app = StandIn(script_of(dict(script)), keep_requests=True)
    async with standin_serving(app) as url:
        yield url, app
