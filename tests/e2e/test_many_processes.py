"""Many processes on one database act as one: caps, runs, freezes, and what a dead one left open."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from quarterdeck.domain.actions import Content, Proposal
from quarterdeck.domain.limits import PROCESS_HEARTBEAT_SECONDS
from quarterdeck.loops.renew_lease import renew_lease
from quarterdeck.loops.sweep_actions import sweep_actions
from quarterdeck.store import budgets, standing
from quarterdeck.store.actions import list_of_run
from quarterdeck.store.standing import Process as Lease
from tests.e2e.books import check_books, database
from tests.e2e.processes import Process
from tests.e2e.sites import Site, opened
from tests.e2e.traffic import CHAT, MESSAGES
from tests.fleets import files
from tests.postgresql import server
from tests.serving import running

PAYMENTS = 150
SWEPT_SECONDS = 35
CHAT_BODY = {
    "model": "small-2",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three gateways, a worker and a console; every test uses runs of its own."""
    with (
        server().fresh_database() as url,
        opened(tmp_path_factory.mktemp("site"), url, gateways=3) as found,
    ):
        yield found


def _client(process: Process, credential: str) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {credential}"}
    return httpx2.AsyncClient(
        base_url=process.url, headers=headers, timeout=60, trust_env=False, verify=False
    )


async def test_a_cap_holds_exactly_through_all_processes_at_once(site: Site) -> None:
    """Goal: one cap, three doors, no race: exactly as many pass as it pays for."""
    credential = site.start_run("toll")["credential"]
    answers: Counter[int] = Counter()
    clients = [_client(gateway, credential) for gateway in site.gateways]

    async def pay(n: int) -> None:
        client = clients[n % len(clients)]
        asked = await client.post("/v1/actions", json={"tool": "pay", "arguments": {"n": n}})
        answers[asked.status_code] += 1
        if asked.status_code == 201:
            path = f"/v1/actions/{asked.json()['action']}/receipt"
            # Told to another process than the one that admitted it.
            told = await clients[(n + 1) % len(clients)].post(path, json={"status": "done"})
            assert told.status_code == 200, told.text
        else:
            assert "budget:agent:toll" in asked.text

    await asyncio.gather(*[pay(n) for n in range(PAYMENTS)])
    for client in clients:
        await client.aclose()
    assert answers == {201: 100, 403: PAYMENTS - 100}
    async with database(site.launcher) as db:
        (window,) = await db.read(lambda tx: budgets.list_open(tx, "agent:toll"))
    assert (window.charged, window.held, window.cap) == (300_000_000, 0, 300_000_000)


async def test_a_run_works_on_every_process_and_ends_on_all_of_them(site: Site) -> None:
    run = site.start_run()
    for gateway in site.gateways:
        async with _client(gateway, run["credential"]) as client:
            assert (await client.post(CHAT, json=CHAT_BODY)).status_code == 200
            body = {**CHAT_BODY, "model": "other-1"}
            assert (await client.post(MESSAGES, json=body)).status_code == 200
    async with _client(site.console, run["credential"]) as client:
        page = await client.post(CHAT, json=CHAT_BODY)
        assert page.status_code == 404, "a console is no gateway"
        ended = await client.post(f"/v1/runs/{run['id']}/end", json={"state": "succeeded"})
        assert ended.status_code == 204, ended.text
    for gateway in site.gateways:
        async with _client(gateway, run["credential"]) as client:
            assert (await client.post(CHAT, json=CHAT_BODY)).status_code == 401
    async with database(site.launcher) as db:
        rows = await db.read(lambda tx: list_of_run(tx, run["id"], "", 100))
    assert [row["state"] for row in rows] == ["done"] * 6
    assert len({row["process"] for row in rows}) == len(site.gateways)


async def test_a_runner_works_in_the_console_and_in_a_command(site: Site) -> None:
    async with _client(site.console, site.keys["clerk"]) as client:
        body = {"agent": "clerk", "input": {}, "kind": "runner", "wait": True}
        ended = await client.post("/v1/runs", json=body)
    assert (ended.status_code, ended.json()["state"]) == (200, "succeeded"), ended.text
    ended_too = await asyncio.to_thread(site.launcher.run, "runs", "start", "clerk")
    assert ended_too.said["state"] == "succeeded"


async def test_a_freeze_stops_every_process_at_once(site: Site) -> None:
    """The row counts in every admission's own transaction: nobody has to notice it first."""
    credential = site.start_run("toll")["credential"]
    async with database(site.launcher) as db:
        await db.write(lambda tx: standing.freeze(tx, "agent:toll", "a test"))
        for gateway in site.gateways:
            async with _client(gateway, credential) as client:
                refused = await client.post("/v1/actions", json={"tool": "pay", "arguments": {}})
                assert refused.status_code == 403
                assert "freeze:agent:toll" in {r["rule"] for r in refused.json()["reasons"]}
        await db.write(lambda tx: standing.thaw(tx, "agent:toll"))
    async with _client(site.gateways[0], credential) as client:
        asked = await client.post("/v1/actions", json={"tool": "pay", "arguments": {}})
        assert "freeze" not in asked.text


async def test_what_a_killed_process_left_open_is_concluded_by_the_worker(site: Site) -> None:
    """Its model call becomes a charge marked estimated; its write stays open for a receipt."""
    (victim,) = site.launcher.serve("gateway")
    run = site.start_run()
    async with _client(victim, run["credential"]) as client:
        asked = await client.post("/v1/actions", json={"tool": "pay", "arguments": {"n": 7}})
        endless = {**CHAT_BODY, "model": "small-3", "stream": True, "max_tokens": 1000}
        with suppress(httpx2.TransportError):
            async with client.stream("POST", CHAT, json=endless) as stream:
                async for _ in stream.aiter_bytes():
                    victim.popen.kill()
                raise AssertionError("it went on to its end")
    rows = await _swept(site, run["id"])
    assert {kind: row["state"] for kind, row in rows.items()} == {
        "model": "failed",
        "tool": "in_doubt",
    }
    holds = {unit: amount for _, unit, amount in json.loads(rows["model"]["holds"])}
    assert rows["model"]["usage_source"] == "estimated"
    assert rows["model"]["cost_nanousd"] == holds["nanousd"]
    async with _client(site.gateways[0], run["credential"]) as client:
        path = f"/v1/actions/{asked.json()['action']}/receipt"
        told = await client.post(path, json={"status": "done"})
        assert told.status_code == 200, "another process takes the receipt of the dead one's action"
    await check_books(site.launcher)


async def _swept(site: Site, run: str) -> dict[str, Any]:
    """The run's actions by their kind, once the sweep is through with them.

    It doubts what a dead process had begun, and concludes the doubt of a model call a moment later.
    """
    sql = "select * from actions where run = :run"
    async with database(site.launcher) as db:
        for _ in range(SWEPT_SECONDS * 5):
            rows = await db.read(lambda tx: list(tx.rows(sql, {"run": run})))
            unswept = {"model": ("begun", "in_doubt"), "tool": ("begun",)}
            if not any(row["state"] in unswept[row["kind"]] for row in rows):
                return {row["kind"]: row for row in rows}
            await asyncio.sleep(0.2)
    raise AssertionError(f"still begun after {SWEPT_SECONDS} seconds")


async def test_a_process_that_was_away_itself_takes_nobody_for_dead(tmp_path: Path) -> None:
    """After an outage all leases have expired: the living get the time to renew theirs."""
    async with running(tmp_path, files()) as server:
        db, checkpoint = server.house.db, server.house.checkpoint
        other = Lease(id="prc_other", role="gateway", host="there", pid=2)
        await db.write(lambda tx: standing.renew_lease(tx, other))
        run = await server.start_run()
        proposal = Proposal(
            credential=run.credential, kind="tool", target="pay", arguments=b"{}", content=Content()
        )
        await replace(checkpoint, process=other.id).admit(proposal)
        expired = "update processes set lease_until = 1 where id = :id"
        await db.write(lambda tx: tx.execute(expired, {"id": other.id}))
        checkpoint.watch.renewed_at = 0
        await renew_lease(checkpoint, server.house.process)
        await sweep_actions(checkpoint, server.house.tools.use)
        (row,) = await server.actions(run.id)
        assert row["state"] == "begun"
        checkpoint.watch.steady_since -= 2 * PROCESS_HEARTBEAT_SECONDS * 1_000_000
        await renew_lease(checkpoint, server.house.process)
        await sweep_actions(checkpoint, server.house.tools.use)
        (row,) = await server.actions(run.id)
        assert row["state"] == "in_doubt"
