"""Hundreds of seeds; `make bench` runs thousands."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.crashes import World, check, live

SEEDS = 240
PER_TEST = 10


async def _seed(seed: int, folder: Path) -> World:
    folder.mkdir()
    world = World(seed=seed, folder=folder)
    life = await live(world)
    await check(world, life)
    await life.db.close()
    return world


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_the_promises_hold_wherever_a_process_dies(first: int, tmp_path: Path) -> None:
    crashes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        world = asyncio.run(_seed(seed, tmp_path / str(seed)))
        crashes += world.crashes
        outcomes += world.outcomes
    assert len(crashes) >= 3, "the simulation kills in different places"
    assert outcomes["approvals spent"], "people are asked, answer, and are heeded"
