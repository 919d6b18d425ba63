"""Writes nobody waits for go with the next group, soon if none comes, and are kept once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.keys import Signer
from quarterdeck.sources import SystemClock
from quarterdeck.store import ledger
from quarterdeck.store.database import Transaction
from quarterdeck.store.sqlite import SqliteDatabase
from tests.store.places import Place, noting

PUT = "insert into secrets (name, sealed, set_at) values (:name, :sealed, :at)"


class Told(Exception):
    """A function that was to fail."""


class Write:
    """A write of one row and one leaf that knows how often it ran."""

    def __init__(self, name: str, *, queues: bool = True, fails: bool = False) -> None:
        self.name = name
        self.queues = queues
        self.fails = fails
        self.ran = 0

    def __call__(self, tx: Transaction) -> str:
        self.ran += 1
        row = {"name": self.name, "sealed": b"x", "at": tx.now}
        if self.queues:
            tx.later(PUT, row, key=self.name)
        else:
            tx.execute(PUT, row)
        noting(self.name)(tx)
        if self.fails:
            raise Told(self.name)
        return self.name


def seen(place: Place) -> list[str]:
    """What another connection sees."""
    return [row["name"] for row in place.raw().run("select name from secrets order by name")]


async def turns() -> None:
    """Let the loop do what it has to do now."""
    for _ in range(3):
        await asyncio.sleep(0)


def patient(db: Any, write: Callable[[Transaction], Any]) -> "asyncio.Future[Any]":
    return asyncio.ensure_future(db.write(write, patient=True))


async def test_it_goes_with_the_next_group(sqlite_place: Place) -> None:
    db = sqlite_place.open()
    early, late = Write("early"), Write("late")
    waiting = patient(db, early)
    await turns()
    assert (early.ran, waiting.done(), seen(sqlite_place)) == (0, False, [])
    await db.write(late)
    assert (early.ran, late.ran, waiting.result()) == (1, 1, "early")
    assert seen(sqlite_place) == ["early", "late"]


async def test_it_is_committed_soon_if_nobody_else_comes(sqlite_place: Place) -> None:
    db = sqlite_place.open()
    early = Write("early")
    assert await patient(db, early) == "early"
    assert (early.ran, seen(sqlite_place)) == (1, ["early"])


async def test_several_go_with_one_group(sqlite_place: Place) -> None:
    db = sqlite_place.open()
    writes = [Write(f"{number}") for number in range(5)]
    waiting = []
    for write in writes:
        waiting.append(patient(db, write))
        await turns()
    await db.write(Write("5"))
    assert [await one for one in waiting] == ["0", "1", "2", "3", "4"]
    assert seen(sqlite_place) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("queues", [True, False])
async def test_one_that_raises_loses_only_its_own_work(sqlite_place: Place, queues: bool) -> None:
    db = sqlite_place.open()
    good, bad = patient(db, Write("a")), patient(db, Write("b", queues=queues, fails=True))
    await turns()
    assert await db.write(Write("c")) == "c"
    assert await good == "a"
    with pytest.raises(Told):
        await bad
    assert seen(sqlite_place) == ["a", "c"]


@pytest.mark.parametrize("queues", [True, False])
async def test_one_is_kept_where_another_of_its_group_fails(
    sqlite_place: Place, queues: bool
) -> None:
    db = sqlite_place.open()
    early = patient(db, Write("a"))
    await turns()
    with pytest.raises(Told):
        await db.write(Write("b", queues=queues, fails=True))
    assert await early == "a"
    assert seen(sqlite_place) == ["a"]


async def test_one_that_waits_is_kept_when_the_database_closes(sqlite_place: Place) -> None:
    db = sqlite_place.open()
    early = patient(db, Write("a"))
    await turns()
    await db.close()
    assert await early == "a"
    assert seen(sqlite_place) == ["a"]


async def test_a_file_locked_by_somebody_else_is_waited_for(sqlite_place: Place) -> None:
    db = sqlite_place.open()
    other = sqlite_place.raw().connection
    other.execute("begin immediate")
    early, late = patient(db, Write("a")), asyncio.ensure_future(db.write(Write("b")))
    await asyncio.sleep(0.02)
    assert not early.done()
    other.execute("rollback")
    assert (await early, await late) == ("a", "b")


KINDS = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 3))


@given(plan=st.lists(KINDS, min_size=1, max_size=12))
def test_whatever_fails_and_whenever_it_comes_each_is_kept_once_and_the_chain_has_no_gap(
    plan: list[tuple[bool, bool, bool, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("patience")

    async def played() -> None:
        db = SqliteDatabase(folder / "q.db", writer="prc_1", clock=SystemClock())
        waiting = []
        for number, (is_patient, queues, fails, pauses) in enumerate(plan):
            write = Write(f"{number:02}", queues=queues, fails=fails)
            waiting.append(asyncio.ensure_future(db.write(write, patient=is_patient)))
            for _ in range(pauses):
                await asyncio.sleep(0)
        got = await asyncio.gather(*waiting, return_exceptions=True)
        kept = [f"{n:02}" for n, (_, _, fails, _) in enumerate(plan) if not fails]
        assert [one for one in got if isinstance(one, str)] == kept
        assert all(isinstance(one, str | Told) for one in got)
        rows = await db.read(lambda tx: tx.rows("select name from secrets order by name"))
        assert [row["name"] for row in rows] == kept
        leaves = await db.read(lambda tx: tx.rows("select number from leaves order by number"))
        assert [row["number"] for row in leaves] == list(range(1, len(kept) + 1))
        assert await ledger.seal_visible(db, Signer.from_seed(b"s" * 32)) == len(kept)
        await db.close()

    asyncio.run(played())
