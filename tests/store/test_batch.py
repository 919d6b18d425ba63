"""Rows that wait for the commit: what is seen of them, what is taken back, what goes on."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.domain.budgets import Hold
from quarterdeck.domain.errors import Conflict
from quarterdeck.domain.fleets import Cap
from quarterdeck.domain.ids import BudgetId
from quarterdeck.keys import Signer
from quarterdeck.store import budgets, ledger, standing
from quarterdeck.store.database import NEVER_QUEUED, Database, Need, Transaction
from quarterdeck.store.group import GroupLost
from quarterdeck.store.sqlite import SqliteDatabase
from quarterdeck.store.writer import PACE_STEP, QUICK_SECONDS, _Pace
from tests.store.places import Place, noting

PUT = "insert into secrets (name, sealed, set_at) values (:name, :sealed, :at)"
NAMES = "select name from secrets order by name"
CAP = 100
BUDGET = BudgetId("agent:clerk/calls/day/2026-11-21")


def queueing(name: str, key: str | None = None) -> Callable[[Transaction], str]:
    """A write that queues a row."""

    def write(tx: Transaction) -> str:
        row = {"name": name, "sealed": b"x", "at": tx.now}
        tx.later(PUT, row, key=key or name, about=(name,))
        return name

    return write


def looking(tx: Transaction) -> list[str]:
    """A write that reads without saying what about."""
    return [row["name"] for row in tx.rows(NAMES)]


async def together(db: Database, *writes: Callable[[Transaction], Any]) -> list[Any]:
    """What each write of one group gives or raises."""
    return await asyncio.gather(*(db.write(fn) for fn in writes), return_exceptions=True)


async def test_a_read_that_says_nothing_sees_what_was_queued_before_it(place: Place) -> None:
    db = place.open()
    assert (await together(db, queueing("a"), looking, queueing("b")))[1] == ["a"]
    assert await db.write(looking) == ["a", "b"]


async def test_a_read_about_what_was_queued_sees_it_and_one_about_something_else_may_not(
    place: Place,
) -> None:
    db = place.open()
    find = "select name from secrets where name = :name"

    def about(what: str) -> Callable[[Transaction], bool]:
        return lambda tx: tx.row(find, {"name": "a"}, about=what) is not None

    got = await together(db, queueing("a"), about(NEVER_QUEUED), about("b"), about("a"))
    assert got[3] is True
    if got[1] is False:  # all of them in one group
        assert got[2] is False


async def test_a_key_is_written_once_with_its_last_row(place: Place) -> None:
    db = place.open()
    await together(db, queueing("first", key="k"), queueing("second", key="k"))
    assert "second" in await db.write(looking)


async def test_what_a_function_queued_before_it_raised_is_taken_back(place: Place) -> None:
    db = place.open()

    def raising(tx: Transaction) -> None:
        queueing("lost")(tx)
        noting("lost")(tx)
        raise LookupError

    got = await together(db, queueing("a"), noting("a"), raising, noting("b"), queueing("b"))
    assert isinstance(got[2], LookupError)
    assert await db.write(looking) == ["a", "b"]
    assert await ledger.seal_visible(db, Signer.from_seed(b"s" * 32)) == 2


async def test_a_row_the_database_refuses_costs_only_the_function_that_queued_it(
    place: Place,
) -> None:
    """Goal: one bad row among queued ones does not take its neighbours along. Method: two rows of
    one name under two keys, in a group with others; their insertion fails at the end of the group,
    and then each runs alone: the second is a conflict, the others are there, once."""
    db = place.open()
    runs: list[str] = []

    def counted(name: str) -> Callable[[Transaction], str]:
        def write(tx: Transaction) -> str:
            runs.append(name)
            noting(name)(tx)
            return queueing(name, key=f"{name}/{len(runs)}")(tx)

        return write

    got = await together(db, counted("a"), counted("b"), counted("a"), counted("c"))
    assert (got[0], got[1], got[3]) == ("a", "b", "c")
    assert isinstance(got[2], Conflict)
    assert await db.write(looking) == ["a", "b", "c"]
    assert await ledger.seal_visible(db, Signer.from_seed(b"s" * 32)) == 3


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hold", "hold and raise", "settle", "look"]),
        st.integers(min_value=0, max_value=40),
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(groups=st.lists(STEPS, min_size=1, max_size=3))
async def test_held_and_charged_are_exact_whatever_goes_together(
    place: Place, groups: list[list[tuple[str, int]]]
) -> None:
    """Goal: money in the queue obeys the same arithmetic as money in the rows. Method: groups of
    holds, settlements, failures and looks against a model of one integer each."""
    db = place.open(writer=f"prc_{len(place.opened)}")
    cap = {BUDGET: Cap(unit="calls", period="day", amount=CAP)}
    await db.write(lambda tx: tx.execute("delete from budgets"))
    await db.write(lambda tx: budgets.open_windows(tx, cap))
    held: list[int] = []
    charged = 0
    for steps in groups:
        writes: list[Callable[[Transaction], Any]] = []
        wanted: list[Any] = []
        for what, amount in steps:
            if what == "hold":
                room = sum(held) + charged + amount <= CAP
                writes.append(_holding(amount))
                wanted.append(room)
                held += [amount] * room
            elif what == "hold and raise":
                writes.append(_raising(amount))
                wanted.append(LookupError)
            elif what == "settle" and held:
                of = held.pop()
                writes.append(_settling(of, of // 2))
                wanted.append(None)
                charged += of // 2
            elif what == "look":
                writes.append(_look)
                wanted.append((sum(held), charged))
        for got, want in zip(await together(db, *writes), wanted, strict=True):
            assert got == want or isinstance(got, LookupError)
            assert isinstance(got, LookupError) == (want is LookupError)
        assert await db.write(_look) == (sum(held), charged)


def _holding(amount: int) -> Callable[[Transaction], bool]:
    hold = Hold(budget=BUDGET, unit="calls", amount=amount)
    return lambda tx: budgets.hold(tx, [hold])


def _raising(amount: int) -> Callable[[Transaction], None]:
    def write(tx: Transaction) -> None:
        _holding(amount)(tx)
        raise LookupError

    return write


def _settling(held: int, charged: int) -> Callable[[Transaction], None]:
    hold = Hold(budget=BUDGET, unit="calls", amount=held)
    return lambda tx: budgets.settle(tx, [(hold, charged, 0)])


def _look(tx: Transaction) -> tuple[int, int]:
    row = tx.row("select held, charged from budgets where id = :id", {"id": BUDGET})
    assert row is not None
    return row["held"], row["charged"]


async def test_the_log_of_a_busy_file_does_not_grow_without_end(sqlite_place: Place) -> None:
    db = sqlite_place.open()
    assert isinstance(db, SqliteDatabase)
    log = sqlite_place.path.with_name(sqlite_place.path.name + "-wal")
    largest = 0
    for turn in range(60):
        await together(db, *(noting(f"{turn}/{n}") for n in range(64)))
        largest = max(largest, log.stat().st_size)
    assert largest < 8 << 20


class _Disk:
    """A connection that only commits, in the time it is told."""

    chain = None
    lost = False

    def commit(self) -> None:
        if self.lost:
            raise GroupLost("gone")


def test_a_quick_disk_is_flushed_in_the_loop_and_a_slow_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Goal: the running median decides. Method: a clock that makes flushes take 0.1 ms, then 3 ms,
    then one in five 100 ms: quick, slow, and quick again in spite of the stragglers."""
    pace, disk = _Pace(), _Disk()
    now = [0.0]
    monkeypatch.setattr("quarterdeck.store.writer.time.perf_counter", lambda: now[0])

    def flush(seconds: float) -> None:
        monkeypatch.setattr(
            disk, "commit", lambda: now.__setitem__(0, now[0] + seconds), raising=False
        )
        pace.commit(disk, [], (0, b""))  # type: ignore[arg-type]  # all it asks of a connection

    assert not pace.is_quick
    for _ in range(40):
        flush(0.0001)
    assert pace.is_quick
    for _ in range(80):
        flush(0.003)
    assert not pace.is_quick
    for turn in range(200):
        flush(0.1 if turn % 5 == 0 else 0.0001)
    assert pace.is_quick
    assert QUICK_SECONDS * (1 + PACE_STEP) < 0.001, "a call is never held up by a known slow disk"


async def test_what_is_only_read_is_read_after_the_wait_for_what_is_locked(
    postgresql_place: Place,
) -> None:
    """Goal: a freeze that commits while an admission waits for its budgets is seen by it. Method:
    somebody else holds a budget row; while a write waits for it the epoch is raised."""
    db, holder, other = postgresql_place.open(), postgresql_place.raw(), postgresql_place.raw()
    await db.write(lambda tx: standing.found(tx, "inc_1"))
    await db.write(lambda tx: budgets.open_windows(tx, {BUDGET: None}))
    epoch = "select epoch from standing where incarnation = :incarnation"
    holder.run("begin")
    holder.run("select id from budgets where id = :id for update", {"id": BUDGET})
    needs = [Need(epoch, "incarnation", "inc_1"), budgets.need(BUDGET)]
    seen = asyncio.ensure_future(
        db.write(lambda tx: tx.row(epoch, {"incarnation": "inc_1"}), needs=lambda: needs)
    )
    waits = (
        "select 1 from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    while not other.run(waits):
        await asyncio.sleep(0.01)
    other.run("update standing set epoch = 7")
    holder.run("commit")
    row = await seen
    assert row is not None
    assert row["epoch"] == 7
