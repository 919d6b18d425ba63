"""Streams on which servers say that their lists changed: one each, only while somebody follows."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.domain.limits import MCP_STREAMS_OF_RUN_MAX, MCP_WATCH_SECONDS
from quarterdeck.gateways.mcp.watching import Watching
from tests.serving import Running, running
from tests.wire.mcp_clients import Client, connections
from tests.wire.mcp_fleets import SERVER, asked, granting_all
from tests.wire.mcp_processes import McpServer, fixture
from tests.wire.mcp_servers import McpServer as RawServer
from tests.wire.mcp_servers import fleet_of, listening

TOOLS = {"toolsListChanged": True}
PROMPTS = {"promptsListChanged": True}
#: Much less than the minute after which a server is looked at anyway.
SOON_SECONDS = 10


@asynccontextmanager
async def before(tmp_path: Path) -> AsyncIterator[tuple[Running, McpServer, Client]]:
    """A gateway before the fixture server, and a client of a run."""
    async with fixture(tmp_path) as upstream:
        files = await granting_all(upstream.url)
        async with running(tmp_path / "data", files) as server, connections() as sending:
            run = await server.start_run()
            yield server, upstream, Client(sending, f"{server.url}/mcp/{SERVER}", run.credential)


def watching_of(server: Running) -> Watching:
    return server.house.mcp.methods.watching


async def method_of(said: AsyncIterator[Any]) -> str:
    async with asyncio.timeout(SOON_SECONDS):
        return str((await anext(said))["method"])


async def change(upstream: McpServer, what: str) -> None:
    await asked(upstream.url, "tools/call", name=f"test_trigger_{what}_change", arguments={})


async def test_what_a_server_says_changed_is_told_at_once_to_who_asked(tmp_path: Path) -> None:
    async with before(tmp_path) as (server, upstream, client):
        async with (
            client.stream("subscriptions/listen", notifications=TOOLS) as tools,
            client.stream("subscriptions/listen", notifications=PROMPTS) as prompts,
        ):
            for said in (tools, prompts):
                assert await method_of(said) == "notifications/subscriptions/acknowledged"
            await change(upstream, "tool")
            assert await method_of(tools) == "notifications/tools/list_changed"
            await change(upstream, "prompt")
            assert await method_of(prompts) == "notifications/prompts/list_changed"
            assert len(upstream.got("subscriptions/listen")) == 1, "one stream for all"
        async with asyncio.timeout(SOON_SECONDS):
            while watching_of(server).standing._open:
                await asyncio.sleep(0.01)
        listed = len(upstream.got("tools/list"))
        await change(upstream, "tool")
        assert len(upstream.got("tools/list")) == listed, "nobody follows it any more"


async def test_it_is_looked_at_before_anybody_is_told(tmp_path: Path) -> None:
    """Goal: who is told lists at once, and is shown what is, not what was."""
    async with (
        before(tmp_path) as (_, upstream, client),
        client.stream("subscriptions/listen", notifications=TOOLS) as said,
    ):
        await method_of(said)
        looks = len(upstream.got("tools/list"))
        await change(upstream, "tool")
        assert await method_of(said) == "notifications/tools/list_changed"
        assert len(upstream.got("tools/list")) > looks


async def test_many_streams_of_a_run_share_what_is_heard(tmp_path: Path) -> None:
    async with before(tmp_path) as (_, upstream, client):
        streams = [
            client.stream("subscriptions/listen", notifications=TOOLS)
            for _ in range(MCP_STREAMS_OF_RUN_MAX)
        ]
        told = [await stream.__aenter__() for stream in streams]
        for said in told:
            await method_of(said)
        await change(upstream, "tool")
        assert {await method_of(said) for said in told} == {"notifications/tools/list_changed"}
        assert len(upstream.got("subscriptions/listen")) == 1
        for stream in streams:
            await stream.__aexit__(None, None, None)


async def test_a_server_that_says_so_all_the_time_is_heard_once_a_second(tmp_path: Path) -> None:
    async with (
        before(tmp_path) as (_, upstream, client),
        client.stream("subscriptions/listen", notifications=TOOLS) as said,
    ):
        await method_of(said)
        looks, began = len(upstream.got("tools/list")), time.monotonic()
        await asyncio.gather(*(change(upstream, "tool") for _ in range(20)))
        assert await method_of(said) == "notifications/tools/list_changed"
        assert await method_of(said) == "notifications/tools/list_changed"
        took = time.monotonic() - began
        assert len(upstream.got("tools/list")) - looks <= 2 + took / MCP_WATCH_SECONDS


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
async def test_a_server_without_such_a_stream_delays_nobody(tmp_path: Path, era: str) -> None:
    mcp = RawServer()
    async with listening(mcp), running(tmp_path, fleet_of(("a", mcp))) as server:
        run = await server.start_run()
        async with connections() as sending:
            client = Client(sending, server.url + "/mcp", run.credential, era)
            await client.greet()
            async with asyncio.timeout(SOON_SECONDS):
                if era == "2025-11-25":
                    async with client.listening():
                        assert await client.names() == ["echo"]
                else:
                    async with client.stream("subscriptions/listen", notifications=TOOLS) as said:
                        acknowledged = "notifications/subscriptions/acknowledged"
                        assert await method_of(said) == acknowledged
