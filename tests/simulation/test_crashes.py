"""Hundreds of seeds; `make bench` runs thousands."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.crashes import World, check, live

SEEDS = 240
PER_TEST = 10


async def _seed(seed: int, folder: Path, **more: Any) -> World:
    folder.mkdir()
    world = World(seed=seed, folder=folder, **more)
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


@pytest.mark.parametrize("first", range(1000, 1040, PER_TEST))
def test_two_effects_never_come_out_of_one_approval(first: int, tmp_path: Path) -> None:
    """Goal: what is given back because nothing was begun is good once, wherever a process dies.

    Method: nearly all is asked of people, and what does it is down most of the time.
    """
    crashes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        asked = {"targets": ("wipe", "wipe", "wipe", "pay"), "down_chance": 0.6}
        world = asyncio.run(_seed(seed, tmp_path / str(seed), **asked))
        crashes += world.crashes
        outcomes += world.outcomes
    assert outcomes["approvals given back"]
    assert outcomes["approvals spent"], "and used again"
    assert crashes["before a commit"], "also before it is given back"
    assert crashes["after a commit"], "also after that"
