"""Tries of actions in doubt on either database, with several processes where possible."""

import asyncio

from quarterdeck.domain.actions import Cleared, InDoubt, Receipt
from quarterdeck.domain.ids import ActionId
from quarterdeck.domain.limits import DOUBT_PAUSE_SECONDS, DOUBT_TRIES_MAX
from quarterdeck.store import actions, doubts
from quarterdeck.store.database import Transaction
from tests.store.places import Desk, Place


async def doubtful(desk: Desk) -> ActionId:
    """An action that nobody knows the outcome of."""

    async def effect(cleared: Cleared) -> Receipt:
        raise TimeoutError("nobody answered")

    outcome = await desk.checkpoint.carry_out(desk.proposal("file_note", 1), effect)
    assert isinstance(outcome, InDoubt)
    return outcome.action.id


async def claim(desk: Desk, action: str) -> bool:
    process = desk.checkpoint.process
    return await desk.db.write(
        lambda tx: doubts.claim(tx, action, process, tries_max=DOUBT_TRIES_MAX)
    )


async def doubted_again(desk: Desk, action: str) -> None:
    """The try ended without an answer, and its pause has passed."""

    def write(tx: Transaction) -> None:
        assert actions.doubt(tx, action, desk.checkpoint.process)
        tx.execute("update doubts set next_at = 0 where action = :action", {"action": action})

    await desk.db.write(write)


async def test_an_action_in_doubt_is_claimed_after_its_pause_and_so_often(desk: Desk) -> None:
    action = await doubtful(desk)
    assert await claim(desk, action)
    assert not await claim(desk, action), "it is under way"
    await desk.db.write(lambda tx: actions.doubt(tx, action))
    assert not await claim(desk, action), "not before its pause has passed"
    row = await desk.db.read(lambda tx: doubts.find(tx, action))
    assert row is not None
    now = desk.checkpoint.clock.micros()
    assert 0 < row["next_at"] - now <= DOUBT_PAUSE_SECONDS * 1_000_000
    due = await desk.db.read(lambda tx: doubts.list_due(tx, now=now, rows=10))
    assert due == []
    for tries in range(2, DOUBT_TRIES_MAX + 1):
        await desk.db.write(lambda tx: tx.execute("update doubts set next_at = 0"))
        assert await claim(desk, action), tries
        await doubted_again(desk, action)
    [left] = await desk.db.read(lambda tx: doubts.list_due(tx, now=now, rows=10))
    assert (left["id"], left["tries"]) == (action, DOUBT_TRIES_MAX)
    assert not await claim(desk, action), "not for ever"


async def test_a_doubt_that_has_ended_is_found_for_people(desk: Desk) -> None:
    action = await doubtful(desk)
    before = desk.checkpoint.clock.micros() - 60_000_000
    assert await desk.db.read(lambda tx: doubts.list_ended(tx, before)) == []
    await desk.db.write(lambda tx: doubts.end(tx, action))
    assert await desk.db.read(lambda tx: doubts.list_ended(tx, before)) == [action]


async def test_only_the_process_it_is_with_says_that_it_is_in_doubt(desk: Desk) -> None:
    action = await doubtful(desk)
    assert await claim(desk, action)
    assert not await desk.db.write(lambda tx: actions.doubt(tx, action, "prc_other"))
    assert await desk.db.write(lambda tx: actions.doubt(tx, action, desk.checkpoint.process))


async def test_of_many_processes_one_tries_it_again(postgresql_place: Place) -> None:
    """Goal: also where the first is done with its try before the second looks."""
    first = await Desk.open(postgresql_place)
    desks = [first, *[await Desk.open(postgresql_place, f"prc_{n}") for n in range(2, 6)]]
    await first.start_run()
    action = await doubtful(first)
    for _ in range(4):

        async def try_it(desk: Desk) -> int:
            if not await claim(desk, action):
                return 0
            await desk.checkpoint.doubt(action, desk.checkpoint.process, because="test")
            return 1

        won = sum(await asyncio.gather(*(try_it(desk) for desk in desks)))
        assert won == 1
        await first.db.write(lambda tx: tx.execute("update doubts set next_at = 0"))
