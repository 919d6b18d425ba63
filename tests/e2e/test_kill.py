"""A real process killed in the middle of traffic: nothing happens twice, the books are right."""

import asyncio
import random
from collections import Counter

import pytest
from tests.e2e.books import (
    check_books,
    check_effects,
    check_nothing_begun,
    check_tool,
    check_vendor,
    database,
)
from tests.e2e.processes import (
    Launcher,
    Process,
    descendants_of,
    lives,
    run_as_a_program,
    wait_until,
)
from tests.e2e.traffic import Traffic, fleet_files, flowing, script

KILLS = 10  # for each of five seeds: fifty in all
SECONDS_MAX = 0.7
START_KILLED = 0.2  # the share of kills that hit a process before it is up


@pytest.mark.parametrize("seed", range(5))
async def test_what_was_killed_at_any_moment_did_nothing_twice_and_lost_nothing(
    launcher: Launcher, seed: int
) -> None:
    """Goal: the promises of the checkpoint hold for a real process that dies anywhere.

    Method: clients of every kind work all the time; a seed says when the server is killed, while
    it starts or while it works. It is started again on the same data folder, ten times. At the end
    all effects seen outside (lines of tools, requests at the vendor, the clients' own) are compared
    with the actions, and the money, the ledger and the offline verifier with each other.
    """
    dice = random.Random(seed)
    standin = launcher.standin(script())
    fleet = launcher.write(fleet_files(standin.url))
    traffic = Traffic()
    server = await asyncio.to_thread(launcher.up, "--fleet", str(fleet))
    _meet(launcher, traffic, server.url)
    async with flowing(traffic):
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(0.05, SECONDS_MAX))
            children = descendants_of(server.pid)
            await asyncio.to_thread(server.kill)
            wait_until(
                lambda gone=children: not any(lives(pid) for pid in gone),
                seconds=5,
                what="the tools' processes end with their server",
            )
            if dice.random() < START_KILLED:
                killed = launcher.spawn("quarterdeck", "--data", str(launcher.data), "up")
                await asyncio.sleep(dice.uniform(0.2, 1.2))
                await asyncio.to_thread(killed.kill)
            server = await asyncio.to_thread(launcher.up)
            _meet(launcher, traffic, server.url)
        await asyncio.sleep(SECONDS_MAX)
    assert traffic.problems == []
    run_as_a_program(server.url, launcher.token())
    await _until_swept(launcher)
    assert await asyncio.to_thread(server.stop) == 0
    await _check(launcher, traffic, standin)


def _meet(launcher: Launcher, traffic: Traffic, url: str) -> None:
    """Tell the clients where the server is now. Runs of before go on; a new one is there too."""
    traffic.url, traffic.token = url, launcher.token()
    traffic.credentials.append(run_as_a_program(url, traffic.token)["credential"])


async def _until_swept(launcher: Launcher) -> None:
    """Until what the dead left begun has been concluded."""
    begun = "select count(*) as n from actions where state = 'begun' or state = 'in_doubt'"
    doubts = f"{begun} and (target <> 'pay')"
    async with database(launcher) as db:
        for _ in range(200):
            row = await db.read(lambda tx: tx.row(doubts))
            if row is not None and row["n"] == 0:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("not everything was concluded within 10 seconds")


async def _check(launcher: Launcher, traffic: Traffic, standin: Process) -> None:
    rows = await check_books(launcher)
    check_nothing_begun(rows)
    calls = check_vendor(rows, standin)
    own = [row for row in rows if row["mark"] == "cooperative"]
    carried_out = [row for row in rows if row["mark"] != "cooperative"]
    paid = check_tool(launcher, carried_out, "pay", once=True)
    filed = check_tool(launcher, carried_out, "file_note", once=False)
    check_effects(own, "pay", Counter(traffic.own_effects), once=True)
    assert all(row["state"] in ("done", "failed") for row in own), "each got its receipt"
    # Otherwise all of the above would hold of nothing.
    assert min(calls, paid, filed, len(traffic.own_effects)) >= KILLS
    print(traffic.answers, calls, paid, filed, len(traffic.own_effects), Counter((r["kind"], r["target"], r["state"]) for r in rows))
