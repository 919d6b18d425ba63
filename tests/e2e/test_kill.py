"""A real process killed in the middle of traffic: nothing happens twice, the books are right."""

import asyncio
import random

import pytest

from tests.e2e.books import check_books, check_nothing_begun, check_seen, database
from tests.e2e.processes import (
    Launcher,
    Process,
    descendants_of,
    lives,
    run_as_a_program,
    wait_until,
)
from tests.e2e.traffic import Traffic, fleet_files, flowing, script

WORKING_KILLED, STARTING_KILLED = 8, 2  # for each of five seeds: fifty kills in all
WORK_SECONDS_MAX, START_SECONDS_MAX = 0.7, 1.5


@pytest.mark.parametrize("seed", range(5))
async def test_what_was_killed_at_any_moment_did_nothing_twice_and_lost_nothing(
    launcher: Launcher, seed: int
) -> None:
    """Goal: the promises of the checkpoint hold for a real process that dies anywhere.

    Method: clients of every kind work all the time; a seed says when the server is killed, while
    it works or while it starts. It is started again on the same data folder, again and again. At
    the end all effects seen outside (lines of tools, requests at the vendor, the clients' own) are
    compared with the actions, and the money, the ledger and the offline verifier with each other.
    """
    dice = random.Random(seed)
    ends = ["working"] * WORKING_KILLED + ["starting"] * STARTING_KILLED
    dice.shuffle(ends)
    standin = launcher.standin(script())
    traffic = Traffic()
    # The fleet is put in force by the first life that gets so far.
    fleet = launcher.write(fleet_files(standin.url, launcher.effects))
    up = ("up", "--port", "0", "--fleet", str(fleet))
    async with flowing(traffic):
        for end in ends:
            if end == "starting":
                server = launcher.spawn("quarterdeck", *launcher.named, *up)
                await asyncio.sleep(dice.uniform(0.1, START_SECONDS_MAX))
            else:
                server = await _up(launcher, traffic, up)
                await asyncio.sleep(dice.uniform(0.05, WORK_SECONDS_MAX))
            await _kill(traffic, server)
        server = await _up(launcher, traffic, up)
        await asyncio.sleep(WORK_SECONDS_MAX)
    assert traffic.problems == []
    run_as_a_program(server.url, launcher.token())
    await _until_swept(launcher)
    assert await asyncio.to_thread(server.stop) == 0
    rows = await check_books(launcher)
    check_nothing_begun(rows)
    own = [row["state"] for row in rows if row["mark"] == "cooperative"]
    assert set(own) <= {"done", "failed"}, "each got its receipt"
    assert check_seen(launcher, rows, traffic, standin) >= WORKING_KILLED, "or all this is empty"


async def _up(launcher: Launcher, traffic: Traffic, up: tuple[str, ...]) -> Process:
    """Start a server and tell the clients where it is. Runs of before go on; there is a new one."""
    command = ("quarterdeck", "--json", *launcher.named, *up)
    server = await asyncio.to_thread(launcher.start, *command)
    traffic.urls, traffic.api_url = (server.url,), server.url
    traffic.token = launcher.token()
    traffic.credentials.append(run_as_a_program(server.url, traffic.token)["credential"])
    traffic.reachable.set()
    return server


async def _kill(traffic: Traffic, server: Process) -> None:
    children = descendants_of(server.pid)
    traffic.reachable.clear()
    await asyncio.to_thread(server.kill)
    what = "the tools' processes end with their server"
    wait_until(lambda: not any(lives(pid) for pid in children), seconds=5, what=what)


async def _until_swept(launcher: Launcher) -> None:
    """Until what the dead left has been concluded; only writes in doubt are left to people.

    What was being tried again when its process was killed is tried later each time.
    """
    left = "select id from actions where state in ('begun', 'in_doubt') and target <> 'pay'"
    async with database(launcher) as db:
        for _ in range(1500):
            if not await db.read(lambda tx: list(tx.rows(left))):
                return
            await asyncio.sleep(0.05)
    raise AssertionError("not everything was concluded within 75 seconds")
