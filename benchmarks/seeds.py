"""The crash simulation over thousands of seeds; tests run hundreds."""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.progress import track

from benchmarks.table import print_table
from tests.simulation.crashes import World, check, live

SEEDS = 2000


def run(count: int = SEEDS) -> None:
    """Run seeds that the tests do not; any broken promise ends the run with its seed."""
    crashes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    began = time.perf_counter()
    for seed in track(range(100_000, 100_000 + count), description="seeds"):
        try:
            world = asyncio.run(_seed(seed))
        except BaseException:
            print(f"seed {seed} broke a promise")
            raise
        crashes += world.crashes
        outcomes += world.outcomes
    rows = [[f"crash {where}", f"{n:,}"] for where, n in crashes.most_common()]
    rows += [[name, f"{n:,}"] for name, n in outcomes.most_common()]
    print_table(f"{count:,} seeds in {time.perf_counter() - began:.0f} s", ["what", "times"], rows)


async def _seed(seed: int) -> World:
    with tempfile.TemporaryDirectory() as name:
        world = World(seed=seed, folder=Path(name))
        life = await live(world)
        await check(world, life)
        await life.db.close()
        return world
