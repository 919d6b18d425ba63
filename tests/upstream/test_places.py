"""Places at a vendor entry: bounded, fair between agents, and none is ever lost."""

import asyncio
import contextlib
import random

import pytest

from quarterdeck.domain.ids import AgentName
from quarterdeck.domain.limits import VENDOR_WAITING_MAX
from quarterdeck.upstream.models import places as module
from quarterdeck.upstream.models.places import Places

ANN, BOB, CAT = AgentName("ann"), AgentName("bob"), AgentName("cat")


def fill(places: Places, agent: AgentName, limit: int) -> int:
    """Take as many places as this agent gets."""
    taken = 0
    while places.take(agent, limit):
        taken += 1
    return taken


def test_one_agent_alone_gets_three_quarters_and_a_newcomer_always_finds_a_place() -> None:
    places = Places()
    assert fill(places, ANN, 512) == 384
    assert fill(places, BOB, 512) == 96
    assert fill(places, CAT, 512) == 24
    assert places.taken < 512


@pytest.mark.parametrize(("limit", "first"), [(1, 1), (2, 2), (3, 3), (4, 3), (8, 6), (100, 75)])
def test_few_places_are_shared_as_well(limit: int, first: int) -> None:
    assert fill(Places(), ANN, limit) == first


async def test_a_place_that_comes_free_goes_to_the_agent_that_holds_the_fewest() -> None:
    places = Places()
    assert [places.take(a, 4) for a in (ANN, ANN, ANN, BOB)] == [True] * 4
    anns, cats = (asyncio.create_task(places.wait(a, 4)) for a in (ANN, CAT))
    await asyncio.sleep(0)
    assert places.waiting == 2
    places.give_back(ANN, 4)
    assert await cats
    assert not anns.done()
    places.give_back(ANN, 4)
    assert not anns.done(), "one place is left for whoever comes without any"
    places.give_back(BOB, 4)
    assert await anns
    assert (places.taken, places.waiting) == (3, 0)


async def test_calls_of_one_agent_are_served_in_the_order_they_came() -> None:
    places = Places()
    assert places.take(ANN, 1)
    served: list[int] = []

    async def call(number: int) -> None:
        assert await places.wait(ANN, 1)
        served.append(number)
        places.give_back(ANN, 1)

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert not places.take(ANN, 1), "nobody overtakes"
    places.give_back(ANN, 1)
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]
    assert places.taken == 0


async def test_who_waits_too_long_or_leaves_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VENDOR_WAIT_SECONDS_MAX", 0.01)
    places = Places()
    assert places.take(ANN, 1)
    assert not await places.wait(BOB, 1)
    task = asyncio.create_task(places.wait(CAT, 1))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert places.waiting == 0
    places.give_back(ANN, 1)
    assert places.taken == 0
    assert places.take(BOB, 1)


async def test_no_more_wait_than_may() -> None:
    places = Places()
    assert places.take(ANN, 1)
    places.waiting = VENDOR_WAITING_MAX
    assert not await places.wait(BOB, 1)


@pytest.mark.parametrize("seed", range(30))
async def test_however_calls_come_end_and_give_up_no_place_is_lost_or_given_twice(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: never more than the limit, none left taken. Method: seeded tasks, some cancelled."""
    monkeypatch.setattr(module, "VENDOR_WAIT_SECONDS_MAX", 0.005)
    dice, places, limit = random.Random(seed), Places(), 5
    under_way = 0

    async def call(agent: AgentName) -> None:
        nonlocal under_way
        if places.take(agent, limit) or await places.wait(agent, limit):
            under_way += 1
            assert under_way <= limit
            try:
                for _ in range(dice.randint(0, 6)):
                    await asyncio.sleep(0)
            finally:
                under_way -= 1
                places.give_back(agent, limit)

    tasks = []
    for _ in range(120):
        tasks.append(asyncio.create_task(call(dice.choice((ANN, BOB, CAT)))))
        if dice.random() < 0.3:
            await asyncio.sleep(0)
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(e is None or isinstance(e, asyncio.CancelledError) for e in ended), ended
    assert (places.taken, places.waiting, places._held, places._queues) == (0, 0, {}, {})
