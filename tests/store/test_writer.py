"""Group commit: what is lost, what is kept, and who is told what when things go wrong."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from quarterdeck.domain.errors import (
    Conflict,
    Invalid,
    LimitExceeded,
    QuarterdeckError,
    Unavailable,
)
from quarterdeck.domain.ids import BudgetId
from quarterdeck.domain.limits import WRITE_GROUP_MAX
from quarterdeck.keys import Signer
from quarterdeck.store import budgets, ledger
from quarterdeck.store.database import Database, Needs, Transaction
from quarterdeck.store.writer import LOOP_GROUP_MAX
from tests.store.places import Place, ended_sessions, noting
from tests.store.relay import Loss, relaying

PUT = "insert into secrets (name, sealed, set_at) values (:name, :sealed, :at)"
NAMES = "select name from secrets order by name"


def putting(name: str, *, size: int = 1) -> Callable[[Transaction], str]:
    """A write of one row."""

    def write(tx: Transaction) -> str:
        tx.execute(PUT, {"name": name, "sealed": b"x" * size, "at": tx.now})
        return name

    return write


def failing(name: str) -> Callable[[Transaction], str]:
    """A write that puts a row and a leaf and then raises."""

    def write(tx: Transaction) -> str:
        putting(name)(tx)
        noting(name)(tx)
        raise LookupError(name)

    return write


def names(place: Place) -> list[str]:
    """What another connection sees."""
    return [row["name"] for row in place.raw().run(NAMES)]


def times(place: Place) -> dict[str, int]:
    """The number each row holds."""
    return {row["name"]: row["set_at"] for row in place.raw().run("select * from secrets")}


def numbers(place: Place, writer: str = "prc_1") -> list[int]:
    """The numbers of a writer's leaves, as another connection sees them."""
    found = "select number from leaves where writer = :w order by number"
    rows = place.raw().run(found, {"w": writer})
    return [row["number"] for row in rows]


async def outcomes(*writes: Any) -> list[object]:
    """What each caller gets, all of one group."""
    got: list[object] = await asyncio.gather(*writes, return_exceptions=True)
    return got


async def test_a_function_that_raises_loses_only_its_own_work(place: Place) -> None:
    db = place.open()
    got = await outcomes(db.write(putting("a")), db.write(failing("b")), db.write(putting("c")))
    assert (got[0], got[2]) == ("a", "c")
    assert isinstance(got[1], LookupError)
    assert names(place) == ["a", "c"]


async def test_a_ledgers_numbers_have_no_gap_where_functions_failed(place: Place) -> None:
    """Goal: the chain in memory follows the savepoints. Method: many groups of writes of which
    some fail after their leaf; then every number is there once and the chain verifies."""
    db = place.open()
    for turn in range(5):
        writes = [
            db.write(failing(f"{turn}.{n}") if n % 3 == 1 else noting(f"{turn}.{n}"))
            for n in range(9)
        ]
        got = await outcomes(*writes)
        assert sum(isinstance(one, LookupError) for one in got) == 3
    assert numbers(place) == list(range(1, 31))
    assert await ledger.seal_visible(db, Signer.from_seed(b"s" * 32)) == 30


async def test_nobody_is_resumed_before_the_commit(place: Place) -> None:
    """Goal: an answer means it is on record. Method: a slow function behind a quick one in the same
    group; meanwhile the quick one's caller is not resumed, and another connection sees nothing."""
    db = place.open()
    raw, seen = place.raw(), []
    await db.write(putting("before"))

    def slow(tx: Transaction) -> None:
        putting("slow")(tx)
        time.sleep(0.2)
        seen.append((first.done(), [row["name"] for row in other.run(NAMES)]))

    other = place.raw() if place.url else raw
    if place.url is None:
        # Functions run in the loop's own thread here, as the connection that looks in must.
        other.connection.execute("pragma busy_timeout=1000")
    first: asyncio.Future[str] = asyncio.ensure_future(db.write(putting("quick")))
    second = asyncio.ensure_future(db.write(slow))
    await first
    assert names(place) == ["before", "quick", "slow"]
    await second
    assert seen == [(False, ["before"])]


async def test_a_group_is_bounded(place: Place) -> None:
    """Goal: no group grows without end. Method: count how many functions ran in each transaction,
    told apart by the time the transaction reads once."""
    db = place.open()
    groups: dict[int, int] = {}

    def count(tx: Transaction) -> None:
        groups[tx.now] = groups.get(tx.now, 0) + 1
        time.sleep(0.00001)

    await asyncio.gather(*(db.write(count) for _ in range(600)))
    assert sum(groups.values()) == 600
    assert max(groups.values()) <= (WRITE_GROUP_MAX if place.url else LOOP_GROUP_MAX)
    assert len(groups) < 300, "what waits goes together"


async def test_when_too_many_wait_a_write_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a queue has an end. Method: with the writer busy, queue as many as may wait and one
    more; those that were taken in are all carried out."""
    monkeypatch.setattr("quarterdeck.store.writer.WRITE_QUEUE_MAX", 50)
    db, gate = place.open(), threading.Event()
    busy = asyncio.ensure_future(db.write(lambda _: gate.wait(10))) if place.url else None
    await asyncio.sleep(0.1)
    waiting = [db.write(putting(str(n))) for n in range(50)]
    with pytest.raises(LimitExceeded, match="too many writes are waiting"):
        await db.write(putting("one more"))
    gate.set()
    assert await asyncio.gather(*waiting) == [str(n) for n in range(50)]
    assert busy is None or await busy


async def test_what_contradicts_the_record_is_a_conflict(place: Place) -> None:
    db = place.open()
    await db.write(putting("a"))
    with pytest.raises(Conflict, match="contradicts what is recorded"):
        await db.write(putting("a"))
    assert names(place) == ["a"]


async def test_what_postgresql_cannot_keep_is_invalid(postgresql_place: Place) -> None:
    db = postgresql_place.open()
    got = await outcomes(db.write(putting("a\0b")), db.write(putting("c")))
    assert isinstance(got[0], Invalid)
    assert got[1] == "c"


async def test_after_closing_a_write_is_refused_and_what_was_queued_is_kept(place: Place) -> None:
    db = place.open()
    queued = [asyncio.ensure_future(db.write(putting(str(n)))) for n in range(5)]
    await asyncio.sleep(0)
    await db.close()
    assert await asyncio.gather(*queued) == ["0", "1", "2", "3", "4"]
    with pytest.raises(Unavailable, match="closing"):
        await db.write(putting("late"))


async def test_sums_are_whole_numbers(place: Place) -> None:
    db = place.open()
    await db.write(putting("a"))
    row = await db.read(lambda tx: tx.row("select sum(set_at) as n from secrets"))
    assert row is not None
    assert type(row["n"]) is int


# --- SQLite ---------------------------------------------------------------------------------------


async def test_a_full_disk_loses_the_group_and_says_so(sqlite_place: Place) -> None:
    """Goal: nothing half recorded, and work goes on once there is room. Method: a page limit just
    above the empty database; one write too big for it with a small one in its group; free space."""
    empty = sqlite_place.open("prc_0")
    await empty.write(putting("old", size=200_000))
    await empty.close()
    pages = sqlite_place.raw().run("pragma page_count")[0]["page_count"]
    db = sqlite_place.open(pages_max=pages + 4)
    got = await outcomes(
        db.write(noting("small")), db.write(putting("big", size=1_000_000)), db.write(noting("x"))
    )
    assert isinstance(got[1], Unavailable)
    assert "full" in str(got[1])
    for one in (got[0], got[2]):
        assert isinstance(one, int | Unavailable)
    kept = [one for one in got if isinstance(one, int)]
    assert numbers(sqlite_place) == kept, "who was told it failed left nothing"
    assert names(sqlite_place) == ["old"]

    await db.write(lambda tx: tx.execute("delete from secrets where name = 'old'"))
    assert await db.write(putting("new", size=150_000)) == "new"
    assert await db.write(noting("after")) == len(kept) + 1
    assert numbers(sqlite_place) == list(range(1, len(kept) + 2))


async def test_a_locked_file_is_waited_for(sqlite_place: Place) -> None:
    db, other = sqlite_place.open(), sqlite_place.raw()
    other.run("begin immediate")
    task = asyncio.ensure_future(db.write(putting("a")))
    await asyncio.sleep(0.3)
    assert not task.done()
    other.run("commit")
    assert await task == "a"


async def test_a_file_locked_for_too_long_is_unavailable(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck.store.sqlite.BUSY_SECONDS", 1)
    db, other = sqlite_place.open(), sqlite_place.raw()
    other.run("begin immediate")
    started = time.monotonic()
    got = await outcomes(db.write(putting("a")), db.write(noting("n")))
    assert all(isinstance(one, Unavailable) for one in got)
    assert 0.9 < time.monotonic() - started < 5
    other.run("commit")
    assert await db.write(noting("n")) == 1
    assert names(sqlite_place) == []


async def test_a_function_that_swallows_a_rollback_does_not_hang_anybody(
    sqlite_place: Place,
) -> None:
    """A function that ends the transaction itself breaks a rule; its group is lost, aloud."""
    db = sqlite_place.open()

    def break_the_rule(tx: Transaction) -> None:
        tx.execute("rollback")

    got = await asyncio.wait_for(outcomes(db.write(break_the_rule), db.write(noting("n"))), 20)
    assert all(isinstance(one, Unavailable) for one in got)
    assert await db.write(noting("n")) == 1


async def test_a_file_that_is_no_database_is_said_to_be_damaged(sqlite_place: Place) -> None:
    sqlite_place.path.write_bytes(b"this is no database at all, " * 400)
    with pytest.raises(QuarterdeckError, match="cannot open the database"):
        sqlite_place.open()


# --- PostgreSQL -----------------------------------------------------------------------------------


async def test_a_session_that_ends_inside_a_write_loses_its_group_only(
    postgresql_place: Place,
) -> None:
    db, raw = postgresql_place.open(), postgresql_place.raw()
    assert await db.write(noting("before")) == 1

    def cut(tx: Transaction) -> None:
        noting("cut")(tx)
        ended_sessions(raw)
        noting("cut again")(tx)

    got = await outcomes(db.write(noting("beside")), db.write(cut), db.write(noting("behind")))
    assert isinstance(got[1], Unavailable)
    assert isinstance(got[2], Unavailable | int)
    kept = [one for one in got if isinstance(one, int)]
    after = await db.write(noting("after"))
    assert after == len(kept) + 2
    assert numbers(postgresql_place) == list(range(1, after + 1))


async def test_a_session_that_ended_while_idle_is_not_noticed(postgresql_place: Place) -> None:
    """Nothing was asked of it, so nothing is lost: neither a write nor a read has to fail."""
    db, raw = postgresql_place.open(), postgresql_place.raw()
    await db.write(noting("a"))
    await asyncio.gather(*(db.read(lambda tx: tx.row("select pg_sleep(0.05)")) for _ in range(4)))
    assert len(ended_sessions(raw)) >= 5
    rows = [db.read(lambda tx: tx.rows("select * from leaves")) for _ in range(8)]
    assert [len(found) for found in await asyncio.gather(*rows)] == [1] * 8
    assert await db.write(noting("b")) == 2


@pytest.mark.parametrize("loss", ["answer", "late"])
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    postgresql_place: Place, loss: Loss
) -> None:
    """Goal: nobody is told a wrong thing about a commit. Method: a relay that loses its answer; or
    cuts the client off first and hands the commit over later, while it is being looked up."""
    assert postgresql_place.url is not None
    async with relaying(postgresql_place.url) as relay:
        db = await asyncio.to_thread(_opened, postgresql_place, relay.url)
        relay.armed = loss
        got = await outcomes(db.write(noting("a")), db.write(putting("b")), db.write(failing("c")))
        assert got[:2] == [1, "b"]
        assert isinstance(got[2], LookupError)
        assert relay.lost == 1
        assert await db.write(noting("d")) == 2
        assert numbers(postgresql_place) == [1, 2]
        assert names(postgresql_place) == ["b"]
        await db.close()


async def test_a_commit_that_never_arrived_is_known_not_to_have_happened(
    postgresql_place: Place,
) -> None:
    assert postgresql_place.url is not None
    async with relaying(postgresql_place.url) as relay:
        db = await asyncio.to_thread(_opened, postgresql_place, relay.url)
        relay.armed = "request"
        got = await outcomes(db.write(noting("a")), db.write(putting("b")))
        assert all(isinstance(one, Unavailable) for one in got)
        assert "nothing was recorded" in getattr(got[0], "hint", "")
        assert numbers(postgresql_place) == []
        assert await db.write(noting("a")) == 1
        assert numbers(postgresql_place) == [1]
        await db.close()


async def test_a_commit_nobody_can_be_asked_about_is_not_called_lost(
    postgresql_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: not knowing is said, and the chain goes on from what is there. Method: the answer is
    lost and the relay stays shut until the look-up gives up; the commit did happen."""
    monkeypatch.setattr("quarterdeck.store.postgresql.LOOK_UP_SECONDS", 1)
    assert postgresql_place.url is not None
    async with relaying(postgresql_place.url) as relay:
        db = await asyncio.to_thread(_opened, postgresql_place, relay.url)
        relay.armed = "answer"
        with monkeypatch.context() as shut:
            shut.setattr("quarterdeck.store.postgresql.connect", _refuse)
            with pytest.raises(Unavailable) as told:
                await db.write(noting("a"))
        assert "may have been recorded" in told.value.hint
        assert await db.write(noting("b")) == 2, "after what is there, not beside it"
        assert numbers(postgresql_place) == [1, 2]
        await db.close()


def _opened(place: Place, url: str) -> Database:
    return place.open(url=url)


def _refuse(*_: object) -> None:
    raise psycopg.OperationalError("shut")


async def test_attempts_do_not_pile_up(postgresql_place: Place) -> None:
    db = postgresql_place.open()
    for n in range(20):
        await db.write(noting(str(n)))
    assert len(postgresql_place.raw().run("select * from attempts")) == 1


async def test_a_deadlock_is_run_again_and_everybody_is_served(postgresql_place: Place) -> None:
    """Goal: a deadlock costs time, never a write. Method: two processes update two rows in opposite
    order, each waiting until the other holds its first; no write names them as a need."""
    one, two = postgresql_place.open("prc_1"), postgresql_place.open("prc_2")
    for name in ("a", "b"):
        await one.write(putting(name))
    held = threading.Barrier(2)
    meetings = {"prc_1": 0, "prc_2": 0}

    def crossing(first: str, second: str) -> Callable[[Transaction], int]:
        def write(tx: Transaction) -> int:
            tx.execute("update secrets set set_at = set_at + 1 where name = :n", {"n": first})
            meetings[tx.chain.writer] += 1
            if meetings[tx.chain.writer] == 1:
                held.wait(10)
            tx.execute("update secrets set set_at = set_at + 1 where name = :n", {"n": second})
            noting(first)(tx)
            return tx.chain.number

        return write

    before = times(postgresql_place)
    got = await asyncio.wait_for(
        outcomes(
            one.write(crossing("a", "b")),
            two.write(crossing("b", "a")),
            one.write(noting("beside")),
        ),
        30,
    )
    assert got == [1, 1, 2]
    after = times(postgresql_place)
    assert {name: after[name] - before[name] for name in after} == {"a": 2, "b": 2}
    assert sum(meetings.values()) >= 3, "there was a deadlock, and its victim ran again"
    assert numbers(postgresql_place, "prc_1") == [1, 2]
    assert numbers(postgresql_place, "prc_2") == [1]


def needing(*budget_ids: str) -> Needs:
    """The need of budget rows."""
    return lambda: [budgets.need(BudgetId(budget)) for budget in budget_ids]


async def test_needs_are_locked_in_one_order_and_never_deadlock(
    postgresql_place: Place,
) -> None:
    """Goal: named rows cannot deadlock. Method: two processes add to two budgets in opposite order,
    many times at once; the server counts no deadlock and every addition is there."""
    one, two = postgresql_place.open("prc_1"), postgresql_place.open("prc_2")
    budget = "insert into budgets (id, cap, held, charged, overrun) values (:id, null, 0, 0, 0)"
    for name in ("x", "y"):
        await one.write(lambda tx, name=name: tx.execute(budget, {"id": name}))  # type: ignore[misc]

    def adding(*order: str) -> Callable[[Transaction], None]:
        def write(tx: Transaction) -> None:
            for name in order:
                tx.execute("update budgets set charged = charged + 1 where id = :n", {"n": name})

        return write

    for _ in range(30):
        await asyncio.gather(
            one.write(adding("x", "y"), needs=needing("x", "y")),
            two.write(adding("y", "x"), needs=needing("y", "x")),
        )
    raw = postgresql_place.raw()
    assert [row["charged"] for row in raw.run("select charged from budgets")] == [60, 60]
    counted = "select deadlocks from pg_stat_database where datname = current_database()"
    assert raw.run(counted)[0]["deadlocks"] == 0
