"""A PostgreSQL server that goes away in the middle of traffic, and comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.books import check_books, check_nothing_begun, check_seen, database
from tests.e2e.processes import Process
from tests.e2e.sites import Site, opened
from tests.e2e.traffic import Traffic, flowing
from tests.postgresql import Cluster

AWAY_SECONDS = 3.0
ROUNDS = 2


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of the test's own, to be stopped and started at will."""
    made = Cluster.make()
    made.start()
    yield made
    made.stop()


async def test_a_server_that_goes_away_and_comes_back_costs_nothing_but_time(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Goal: processes outlive their database, say so meanwhile, and no effect or cent is lost.

    Method: clients of every kind at work through two gateways and a console. The server is stopped
    as by a crash, twice, in the middle of whatever is being committed. Nothing else is restarted.
    """
    with opened(tmp_path, cluster.url, gateways=2) as site:
        traffic = Traffic(
            urls=tuple(gateway.url for gateway in site.gateways),
            api_url=site.console.url,
            token=site.keys["clerk"],
            tolerated=frozenset((503,)),
        )
        traffic.credentials.append(site.start_run()["credential"])
        traffic.reachable.set()
        async with flowing(traffic):
            for _ in range(ROUNDS):
                await asyncio.sleep(1.5)
                await asyncio.to_thread(cluster.stop)
                for process in (*site.gateways, site.console):
                    assert await _health(process) == 503
                await asyncio.sleep(AWAY_SECONDS)
                done = len(traffic.own_effects)
                await asyncio.to_thread(cluster.start)
                await _until_more(traffic, done)
        assert traffic.problems == []
        assert traffic.answers["v1 503"] + traffic.answers["openai 503"] > 0
        await _until_settled(site)
        for process in (*site.gateways, site.worker, site.console):
            assert process.popen.poll() is None, process.logged()
            assert process.stop() == 0
        rows = await check_books(site.launcher)
        check_nothing_begun(rows)
        assert check_seen(site.launcher, rows, traffic, site.standin) > 0


async def _health(process: Process) -> int:
    async with httpx2.AsyncClient(base_url=process.url, trust_env=False, timeout=10) as client:
        return (await client.get("/v1/healthz")).status_code


async def _until_more(traffic: Traffic, done: int) -> None:
    """Until every client could have gone on: an answer to a commit is looked up for a while."""
    for _ in range(300):
        if len(traffic.own_effects) > done + 5:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"nothing goes on 30 seconds after the server is back: {traffic.answers}")


async def _until_settled(site: Site) -> None:
    """No process died, so nothing stays open but what was cut off at its admission."""
    async with database(site.launcher) as db:
        for _ in range(100):
            rows = await db.read(
                lambda tx: list(tx.rows("select * from actions where state = 'begun'"))
            )
            if not rows:
                return
            await asyncio.sleep(0.1)
    raise AssertionError([dict(row) for row in rows])
