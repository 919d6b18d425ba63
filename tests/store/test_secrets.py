"""Rows of secrets, and of runs that are opened once for all that comes from one place."""

from dataclasses import replace

from quarterdeck.checkpoint.opening import Opening, Starter
from quarterdeck.domain.ids import RunId
from quarterdeck.keys import SealingKey
from quarterdeck.sources import SystemClock
from quarterdeck.store import runs, secrets
from quarterdeck.store.database import Database
from quarterdeck.store.secrets import Kept
from tests.doubles import SeededDice
from tests.store.places import Desk

MASTER = SealingKey(b"m" * 32, SeededDice(1))


async def test_a_rotated_secret_has_two_values_until_its_time_is_over(database: Database) -> None:
    async def kept() -> Kept | None:
        return await database.read(lambda tx: secrets.find_kept(tx, MASTER, "KEY"))

    async def turn(value: str, seconds: int) -> bool:
        return await database.write(
            lambda tx: secrets.rotate(
                tx, MASTER, "KEY", value, until=tx.now + seconds * 1_000_000, by="ann"
            )
        )

    assert await kept() is None
    assert not await turn("one", 60), "there is nothing to rotate"
    await database.write(lambda tx: secrets.put(tx, MASTER, "KEY", "one", by="ann"))
    assert await turn("two", 60)
    found = await kept()
    assert found is not None
    assert (found.value, found.before) == ("two", "one")
    assert found.other_than("two", 0) == "one"
    assert found.other_than("one", 0) == "two"
    assert found.other_than("two", found.before_until) is None
    assert await turn("three", 0)
    found = await kept()
    assert found is not None
    assert (found.value, found.before) == ("three", "two"), "only the newest of the old is kept"
    [listed] = await database.read(secrets.list_names)
    assert (listed["name"], listed["set_by"]) == ("KEY", "ann")
    assert await database.read(secrets.has_retiring)
    assert await database.write(secrets.forget_retired) == 1
    assert not await database.read(secrets.has_retiring)
    assert await turn("four", 60)
    await database.write(lambda tx: secrets.put(tx, MASTER, "KEY", "five"))
    found = await kept()
    assert found is not None
    assert found.before is None, "what is set is set at once"
    assert await turn("six", 60)
    assert await database.write(lambda tx: secrets.remove(tx, "KEY"))
    assert not await database.read(secrets.has_retiring)


async def test_a_run_is_found_again_by_where_it_was_opened(desk: Desk) -> None:
    db, keyring, bindings = desk.db, desk.checkpoint.keyring, desk.checkpoint.bindings
    binding = await bindings.agent_in_force("clerk")
    opening = Opening(keyring=keyring, clock=SystemClock(), dice=SeededDice(2))
    starter = Starter(id="person:ann", kind="person", correlation="client:a")
    place = runs.OpenPlace(
        kind="person",
        started_by="person:ann",
        correlation="client:a",
        revision=binding.agent.revision,
    )

    async def found_at(asked: runs.OpenPlace) -> runs.OpenRun | None:
        return await db.read(lambda tx: runs.find_open(tx, asked))

    assert await found_at(place) is None
    for name in ("run_1", "run_2"):
        opened = await opening.run(binding, {"client": "a"}, starter, RunId(name), f"qdr_{name}")
        await db.write(opened.write)
    found = await found_at(place)
    assert found is not None
    assert found.run == "run_2", "the newest"
    assert found.is_good(SystemClock().micros(), seconds=30)
    for other in (
        replace(place, started_by="person:bob"),
        replace(place, correlation="client:b"),
        replace(place, revision="rev_x"),
        replace(place, kind="external"),
    ):
        assert await found_at(other) is None
