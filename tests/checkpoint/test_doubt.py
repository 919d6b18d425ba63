"""What becomes of an action in doubt: tried again where that is harmless, and not for ever."""

from pathlib import Path
from typing import Any

import orjson

from quarterdeck.domain.actions import Cleared, Content, InDoubt, Proposal, Receipt
from quarterdeck.domain.ids import ActionId
from quarterdeck.domain.limits import (
    DOUBT_SECONDS_MAX,
    DOUBT_TRIES_MAX,
    HOLD_LAPSE_SECONDS,
    PROCESS_LEASE_SECONDS,
)
from quarterdeck.loops.sweep_actions import sweep_actions
from quarterdeck.services.actions import Actions
from quarterdeck.store import actions, doubts, standing
from tests.fleets import files
from tests.simulation.crashes import OWNER, Life, World, check, check_ledger, check_money


class Doubtful:
    """An effect that answers nothing for so many times, and counts how often it was asked."""

    def __init__(self, failures: int = 10_000) -> None:
        self.failures = failures
        self.asked = 0

    async def __call__(self, cleared: Cleared) -> Receipt:
        self.asked += 1
        if self.asked <= self.failures:
            raise TimeoutError("the server answered 503")
        return Receipt(status="done", result=b"{}", cost_nanousd=cleared.bound.nanousd)


async def begun(tmp_path: Path) -> Life:
    """One life that never crashes, on a clock of its own, with one run."""
    world = World(seed=1, folder=tmp_path)
    life = await Life.begin(world)
    await life.changes.apply(OWNER, files())
    world.runs.append(await life.runs.start(OWNER, "clerk", {"text": "hi"}, kind="external"))
    return life


def call(life: Life, target: str) -> Proposal:
    """A call under a key."""
    arguments = b'{"n":1}'
    return Proposal(
        credential=life.world.runs[0].credential,
        kind="tool",
        target=target,
        arguments=arguments,
        content=Content(rest=arguments),
        idempotency_key="k",
    )


async def doubted(life: Life, target: str, effect: Doubtful) -> ActionId:
    """A call that nobody knows the outcome of."""
    outcome = await life.checkpoint.carry_out(call(life, target), effect)
    assert isinstance(outcome, InDoubt)
    return outcome.action.id


async def row(life: Life, action: str) -> Any:
    return await life.db.read(lambda tx: actions.find(tx, action))


async def swept(life: Life, effect: Doubtful, *, seconds: float, every: float = 5) -> None:
    """Let time pass, with a sweep every five seconds as in a real process."""
    for _ in range(int(seconds // every)):
        life.world.clock.push(every)
        await life.db.write(lambda tx: standing.renew_lease(tx, life.process))
        await sweep_actions(life.checkpoint, effect)


async def kinds(life: Life, action: str) -> list[str]:
    leaves = await life.db.read(
        lambda tx: list(tx.rows("select data from leaves order by writer, number"))
    )
    said = [orjson.loads(leaf["data"]) for leaf in leaves]
    return [leaf["kind"] for leaf in said if leaf["subject"] == action]


async def test_what_is_idempotent_is_tried_again_later_each_time_and_not_for_ever(
    tmp_path: Path,
) -> None:
    """Goal: a server that answers 5xx for ever is asked a few times, and the money is charged."""
    life, effect = await begun(tmp_path), Doubtful()
    action = await doubted(life, "file_note", effect)
    await swept(life, effect, seconds=60)
    assert effect.asked == 1 + 4, "at once, then after 5, 10, 20 seconds"
    assert (await row(life, action))["state"] == "in_doubt"
    await swept(life, effect, seconds=DOUBT_SECONDS_MAX + 600, every=30)
    asked = effect.asked
    assert asked <= 1 + DOUBT_TRIES_MAX
    ended = await row(life, action)
    assert (ended["state"], ended["usage_source"]) == ("failed", "estimated")
    assert ended["cost_nanousd"] == 2_000_000, "what it may have cost is charged in full"
    detail = orjson.loads(ended["detail"])
    assert detail["outcome"] == "unknown", "failed is what nobody knows"
    assert "nobody knows whether it took place" in detail["error"]
    await swept(life, effect, seconds=3600, every=60)
    assert effect.asked == asked, "it is over"
    said = await kinds(life, action)
    assert said[0] == "admitted"
    assert said[-2:] == ["settled:failed", "doubt_ended"]
    rows = await life.db.read(lambda tx: list(tx.rows("select * from actions")))
    await check_money(life.db, rows)
    await check_ledger(life.db, rows)
    await life.db.close()


async def test_a_server_that_comes_back_within_the_hour_is_asked_in_time(tmp_path: Path) -> None:
    life, effect = await begun(tmp_path), Doubtful(failures=7)
    action = await doubted(life, "file_note", effect)
    await swept(life, effect, seconds=600)
    assert (await row(life, action))["state"] == "done"
    assert effect.asked == 8
    assert "doubt_ended" not in await kinds(life, action)
    await life.db.close()


async def test_the_same_key_is_never_told_failed_of_what_nobody_knows(tmp_path: Path) -> None:
    """The agent would do it again by another way."""
    life, effect = await begun(tmp_path), Doubtful()
    action = await doubted(life, "pay", effect)
    await swept(life, effect, seconds=HOLD_LAPSE_SECONDS + 60, every=60)
    assert (await row(life, action))["state"] == "failed"
    again = await life.checkpoint.carry_out(call(life, "pay"), effect)
    assert isinstance(again, InDoubt)
    assert (again.action.id, effect.asked) == (action, 1)
    await life.db.close()


async def test_what_was_in_doubt_for_longer_than_servers_remember_keys_is_not_tried_again(
    tmp_path: Path,
) -> None:
    """Goal: a key that a server may have forgotten is not sent: it would be a second call."""
    life, effect = await begun(tmp_path), Doubtful()
    action = await doubted(life, "file_note", effect)
    life.world.clock.push(DOUBT_SECONDS_MAX + 1)
    await life.db.write(lambda tx: standing.renew_lease(tx, life.process))
    await sweep_actions(life.checkpoint, effect)
    assert effect.asked == 1
    assert (await row(life, action))["state"] == "failed"
    await life.db.close()


async def claimed(life: Life, action: str) -> bool:
    process = life.process.id
    return await life.db.write(
        lambda tx: doubts.claim(tx, action, process, tries_max=DOUBT_TRIES_MAX)
    )


async def test_tries_are_counted_over_deaths(tmp_path: Path) -> None:
    """Goal: a process that dies at each try does not begin to count anew."""
    life, effect = await begun(tmp_path), Doubtful()
    action = await doubted(life, "file_note", effect)
    for number in range(1, 4):
        assert await claimed(life, action), number
        await life.db.close()  # as it is: begun, by a process that is no more
        life.world.clock.push(PROCESS_LEASE_SECONDS + 600)
        life = await Life.begin(life.world)
        await life.checkpoint.doubt(action, (await row(life, action))["process"], because="test")
    found = await life.db.read(lambda tx: doubts.find(tx, action))
    assert found is not None
    assert found["tries"] == 3
    await life.db.close()


async def test_people_are_told_what_they_should_do(tmp_path: Path) -> None:
    life, effect = await begun(tmp_path), Doubtful()
    action = await doubted(life, "file_note", effect)
    shown = Actions(db=life.db)
    waiting = await shown.show(OWNER, action)
    assert "called again" in waiting["doubt"]["words"]
    await swept(life, effect, seconds=DOUBT_SECONDS_MAX + 600, every=30)
    ended = await shown.show(OWNER, action)
    assert ended["doubt"]["ended_at"] is not None
    assert "charged in full" in ended["doubt"]["words"]
    assert "look" in ended["doubt"]["words"].lower()
    await life.db.close()


async def test_the_books_hold_with_a_server_that_is_away(tmp_path: Path) -> None:
    life, effect = await begun(tmp_path), Doubtful()
    await doubted(life, "file_note", effect)
    await swept(life, effect, seconds=DOUBT_SECONDS_MAX + 600, every=30)
    await check(life.world, life)
    await life.db.close()
