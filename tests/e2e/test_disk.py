"""A disk that fills up: admissions stop and say so, what was begun is settled, nothing is lost."""

import asyncio
import os
from pathlib import Path
from typing import Literal

import httpx2
import pytest

from quarterdeck.assembly import ticks
from quarterdeck.domain.limits import DISK_FREE_BYTES_MIN
from quarterdeck.loops.watch_disk import watch_disk
from tests.e2e.books import check_books, check_seen, database
from tests.e2e.disks import Forbidden, SmallDisk, mounted
from tests.e2e.processes import Launcher, run_as_a_program
from tests.e2e.traffic import CHAT, MESSAGES, Traffic, fleet_files, flowing, script
from tests.fleets import files
from tests.serving import Running, running, upstream

CHAT_BODY = {
    "model": "small-1",
    "max_tokens": 40,
    "messages": [{"role": "user", "content": "hello"}],
}
MESSAGE_BODY = {**CHAT_BODY, "model": "other-1"}
SETTLED_SECONDS = 20


@pytest.mark.parametrize("kind", ["no room", "no writes"])
async def test_a_disk_that_fills_up_in_the_middle_of_traffic_loses_nothing(
    launcher: Launcher, kind: Literal["no room", "no writes"]
) -> None:
    """Goal: what was cleared before is settled, whatever the disk does; the rest is refused.

    Method: a real server on a small disk of its own. With clients of every kind at work, all its
    room is taken, and given back some seconds later. Where nothing can be mounted, and as a harder
    case everywhere, the kernel forbids the server to write at all: then even the spool fails.
    """
    with mounted(launcher.data) as disk:
        chosen: SmallDisk = Forbidden() if disk is None or kind == "no writes" else disk
        standin = launcher.standin(script())
        fleet = launcher.write(fleet_files(standin.url, launcher.effects))
        server = launcher.up("--fleet", str(fleet))
        traffic = Traffic((server.url,), server.url, launcher.token(), tolerated=frozenset((503,)))
        traffic.credentials.append(run_as_a_program(server.url, traffic.token)["credential"])
        traffic.reachable.set()
        async with flowing(traffic):
            await asyncio.sleep(0.5)
            chosen.fill(server.pid)
            await asyncio.sleep(2.5)
            chosen.empty(server.pid)
            refused = len(traffic.own_effects)
            await asyncio.sleep(2.5)
        assert traffic.problems == []
        assert len(traffic.own_effects) > refused, "it goes on by itself when there is room again"
        _check_refusals(traffic)
        if chosen is disk:
            assert any("nearly full" in text for text in traffic.refusals[CHAT])
        await _until_settled(launcher)
        assert await asyncio.to_thread(server.stop) == 0
        rows = await check_books(launcher)
        check_seen(launcher, rows, traffic, standin)
        assert {row["state"] for row in rows if row["mark"] == "cooperative"} == {"done"}


def _check_refusals(traffic: Traffic) -> None:
    for path in (CHAT, MESSAGES, "/v1/actions"):
        texts = traffic.refusals[path]
        assert texts, f"{path} was never refused"
        for text in texts:
            assert "quarterdeck doctor" in text, f"{path}: no hint in {text}"


async def _until_settled(launcher: Launcher) -> None:
    """Nothing stays open: no process died, so of nothing there is a doubt."""
    left = "select * from actions where state in ('begun', 'in_doubt')"
    async with database(launcher) as db:
        for _ in range(SETTLED_SECONDS * 10):
            rows = await db.read(lambda tx: list(tx.rows(left)))
            if not rows:
                return
            await asyncio.sleep(0.1)
    raise AssertionError([dict(row) for row in rows])


async def test_admission_stops_while_settlements_still_fit(tmp_path: Path) -> None:
    """Below the limit new calls get 503 in their vendor's envelope; a stream goes on to its end."""
    slow = {"model": "small-1", "generate": {"chunks": 20, "delay_seconds": 0.05}}
    async with (
        upstream({"rules": [slow]}) as (url, vendor),
        running(tmp_path, files(base_url=url)) as server,
    ):
        watch, folder = server.house.checkpoint.watch, tmp_path
        run = await server.start_run()
        body = {**CHAT_BODY, "stream": True}
        stream = asyncio.create_task(_post(server, CHAT, body, run.credential))
        while not vendor.tally.totals()["requests"]:
            await asyncio.sleep(0.01)
        await watch_disk(watch, folder, bytes_min=2**62)
        chat = (await _post(server, CHAT, CHAT_BODY, run.credential)).json()
        message = (await _post(server, MESSAGES, MESSAGE_BODY, run.credential)).json()
        tool = {"tool": "pay", "arguments": {}}
        action = await _post(server, "/v1/actions", tool, run.credential)
        streamed = await stream
        await watch_disk(watch, folder, bytes_min=1)
        again = await _post(server, CHAT, CHAT_BODY, run.credential)
        rows = await server.actions(run.id)
    assert chat["error"]["code"] == "unavailable"
    assert message["error"]["type"] == "overloaded_error"
    for said in (chat["error"], message["error"], action.json()["error"]):
        assert "the disk is nearly full" in said["message"]
    assert (action.status_code, again.status_code) == (503, 200)
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert [row["state"] for row in rows] == ["done", "done"]
    assert vendor.tally.totals()["requests"] == 2


async def test_a_watch_of_the_disk_uses_the_limit_that_is_documented(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        watch = server.house.checkpoint.watch
        watch.disk_low = True
        (tick,) = [tick for tick in ticks(server.house) if tick.name == "watch_disk"]
        await tick.run()
        found = os.statvfs(tmp_path)
        assert watch.disk_low == (found.f_bavail * found.f_frsize < DISK_FREE_BYTES_MIN)


def test_a_server_that_cannot_write_says_so_and_leaves_nothing_half_made(
    launcher: Launcher,
) -> None:
    refused = launcher.run("up", "--port", "0", status=3, file_bytes_max=1)
    assert "cannot make the master key" in refused.said["error"]["message"]
    assert "free space" in refused.said["error"]["hint"]
    assert launcher.up().stop() == 0, "with room, the same folder is as good as new"


async def _post(server: Running, path: str, body: object, credential: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {credential}"}
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
        return await client.post(path, json=body, headers=headers)
