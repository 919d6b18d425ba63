"""Admissions and settlements on PostgreSQL: eight processes that share one database and one cap."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks.processes import write_fleet
from benchmarks.store import OWNER, pair
from benchmarks.table import print_table
from quarterdeck.assembly import house
from quarterdeck.fleet.load import read_folder
from quarterdeck.keys import make_master
from quarterdeck.loops.renew_lease import watch_standing
from quarterdeck.settings import Settings
from quarterdeck.sources import SystemDice

PROCESSES = 8
AT_ONCE = 16
SECONDS = 5


def run() -> None:
    """Start a server of our own with durable commits, and eight workers on it."""
    from tests import postgresql

    postgresql.SETTINGS.update(fsync="on", full_page_writes="on", autovacuum="on")
    with tempfile.TemporaryDirectory() as name, postgresql.server().fresh_database() as url:
        folder = Path(name)
        make_master(folder / "master.key", SystemDice())
        write_fleet(folder / "fleet", 9)
        uvloop.run(_prepare(url, folder))
        rows = [_measured(url, folder, count) for count in (1, PROCESSES)]
        print_table(
            f"admission + settlement pairs on PostgreSQL, {AT_ONCE} at once in each process",
            ["processes", "pairs/s together", "p50 ms of a pair", "p99 ms"],
            rows,
        )


async def _prepare(url: str, folder: Path) -> None:
    async with house(_settings(url, folder), role="console") as built:
        await built.services.changes.apply(OWNER, read_folder(folder / "fleet"))


def _settings(url: str, folder: Path) -> Settings:
    return Settings(
        folder=folder / f"data-{os.getpid()}",
        database_url=url,
        key_file=folder / "master.key",
    )


def _measured(url: str, folder: Path, count: int) -> list[str]:
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.postgresql", url, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    said = [json.loads(worker.communicate()[0]) for worker in workers]
    times = sorted(t for one in said for t in one["times"])
    return [
        str(count),
        f"{sum(len(one['times']) / one['seconds'] for one in said):,.0f}",
        f"{statistics.median(times) * 1000:.1f}",
        f"{times[int(len(times) * 0.99)] * 1000:.1f}",
    ]


async def _work(url: str, folder: Path) -> None:
    async with house(_settings(url, folder), role="gateway") as built:
        await watch_standing(built.db, built.checkpoint.watch)
        run_now = await built.services.runs.start(OWNER, "clerk", {}, kind="external")
        times: list[float] = []
        until = time.perf_counter() + SECONDS

        async def worker() -> None:
            while time.perf_counter() < until:
                began = time.perf_counter()
                await pair(built, run_now.credential, len(times))
                times.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        print(json.dumps({"times": times, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    uvloop.run(_work(sys.argv[1], Path(sys.argv[2])))
