"""A process killed while it waits to try a vendor again: one action, charged once."""

import asyncio
from typing import Any

import httpx2

from quarterdeck.store import actions
from tests.e2e.books import check_books, database
from tests.e2e.processes import Launcher, run_as_a_program
from tests.fleets import files
from tests.vendors import says, vendor

ASKED = {"model": "small-1", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


async def test_killed_between_two_attempts_it_is_in_doubt_and_charged_once_as_an_estimate(
    launcher: Launcher,
) -> None:
    """Goal: no second attempt after the death, and all that was held is charged, once.

    Method: a vendor asks to come back in seven seconds; the server is killed while it waits, and
    started again on the same data.
    """
    async with vendor(says(429, b"{}", retry_after="7"), says()) as busy:
        fleet = launcher.write(files(base_url=busy.url))
        up = ("quarterdeck", "--json", *launcher.named, "up", "--port", "0", "--fleet", str(fleet))
        server = await asyncio.to_thread(launcher.start, *up)
        run = await asyncio.to_thread(run_as_a_program, server.url, launcher.token())
        call = asyncio.create_task(_ask(server.url, run["credential"]))
        await busy.asked.wait()
        await asyncio.to_thread(server.kill)
        await asyncio.gather(call, return_exceptions=True)
        server = await asyncio.to_thread(launcher.start, *up)
        row = await _settled(launcher)
        assert await asyncio.to_thread(server.stop) == 0
        assert len(busy.requests) == 1
    assert (row["state"], row["usage_source"]) == ("failed", "estimated")
    held = {hold.unit: hold.amount for hold in actions.reservation_of(row).holds}
    assert row["cost_nanousd"] == held["nanousd"] > 0
    await check_books(launcher)


async def _ask(url: str, credential: str) -> None:
    async with httpx2.AsyncClient(timeout=20) as client:
        headers = {"authorization": f"Bearer {credential}"}
        await client.post(f"{url}/openai/v1/chat/completions", json=ASKED, headers=headers)


async def _settled(launcher: Launcher) -> Any:
    """The only action, once the sweep has concluded it."""
    async with database(launcher) as db:
        for _ in range(400):
            [row] = await db.read(lambda tx: list(tx.rows("select * from actions")))
            if not actions.is_open(row):
                return row
            await asyncio.sleep(0.05)
    raise AssertionError("it was not concluded within 20 seconds")
