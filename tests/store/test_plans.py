"""Lists, searches and counts over a long history go by an index: the planner's own word for it.

The statements are those that the product runs: each use case is called on a database that writes
them down, and each of them is explained on a history of thousands of actions.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.history import INCARNATION, Shape, Then, Written, fill_database
from quarterdeck.domain.actions import ActionFilters
from quarterdeck.domain.people import Caller
from quarterdeck.domain.runs import RunFilters
from quarterdeck.keys import SealingKey
from quarterdeck.services.actions import Actions
from quarterdeck.services.runs import Runs
from quarterdeck.services.verification import Verifying
from quarterdeck.sources import SystemClock, SystemDice, TimeSortedIds
from quarterdeck.store import actions, doubts, health, ledger
from quarterdeck.store.database import Database, Params, Reading, Row
from quarterdeck.store.keys import Keyring
from quarterdeck.store.postgresql import PostgresqlDatabase
from quarterdeck.store.sqlite import SqliteDatabase
from tests.postgresql import server

OWNER = Caller(id="local:test", role="owner")
SHAPE = Shape(actions=6_000, runs=250, longest=1_500, agents=8, days=3)
LARGE = ("actions", "runs", "run_words", "payloads", "leaves")
DICE = SystemDice()


@dataclass
class Noting:
    """A reader that writes down what it is asked."""

    inner: Reading
    asked: list[tuple[str, Params]]

    def row(self, sql: str, params: Params = {}) -> Row | None:  # noqa: B006  read only
        """The first row."""
        self.asked.append((sql, params))
        return self.inner.row(sql, params)

    def rows(self, sql: str, params: Params = {}) -> Sequence[Row]:  # noqa: B006  read only
        """All rows."""
        self.asked.append((sql, params))
        return self.inner.rows(sql, params)


@dataclass
class History:
    """A database with a history, and what was asked of it."""

    db: Database
    written: Written
    clock: SystemClock = field(default_factory=SystemClock)
    dialect: str = ""
    asked: list[tuple[str, Params]] = field(default_factory=list)

    def read(self, fn: Callable[[Reading], Any]) -> Awaitable[Any]:
        """Read, noting every statement."""
        return self.db.read(lambda tx: fn(Noting(tx, self.asked)))

    async def plan(self, sql: str, params: Params) -> str:
        """What the planner would do."""
        if self.db.dialect == "sqlite":
            rows = await self.db.read(lambda tx: tx.rows(f"explain query plan {sql}", params))
            return "\n".join(row["detail"] for row in rows)

        def explain(tx: Reading) -> str:
            # A few pages are read quickest from end to end; what counts is whether an index serves.
            tx.rows("select set_config('enable_seqscan', 'off', false)")
            return "\n".join(row["QUERY PLAN"] for row in tx.rows(f"explain {sql}", params))

        return str(await self.db.read(explain))


@pytest.fixture(params=["sqlite", "postgresql"])
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[History]:
    """The same history on either database, as its planner knows it."""
    clock = Then(SystemClock().micros() - int(timedelta(days=SHAPE.days).total_seconds() * 1e6))
    if request.param == "sqlite":
        db: Database = SqliteDatabase(tmp_path / "q.db", writer="prc_history", clock=clock)
        async for found in _filled(db, clock):
            yield found
        return
    with server().fresh_database() as url:
        attempts = TimeSortedIds()
        db = PostgresqlDatabase(url, writer="prc_history", attempt=lambda: attempts.new("att"))
        async for found in _filled(db, clock):
            await db.write(lambda tx: tx.execute("analyze"))
            yield found


async def _filled(db: Database, clock: Then) -> AsyncIterator[History]:
    try:
        master = SealingKey(b"k" * 32, DICE)
        written = await fill_database(db, master, clock, SHAPE, say=lambda _: None)
        yield History(db=db, written=written, dialect=db.dialect)
    finally:
        await db.close()


def scanned(plan: str) -> list[str]:
    """The large tables that a plan reads from their beginning to their end."""
    tables = "|".join(LARGE)
    found = re.findall(rf"SCAN ({tables}|[arw])\b(?! USING)", plan)
    found += re.findall(rf"Seq Scan on ({tables})\b", plan)
    return found


async def check(history: History) -> None:
    """Explain everything that was asked; nothing may read a large table whole."""
    assert history.asked
    for sql, params in history.asked:
        plan = await history.plan(sql, params)
        assert not scanned(plan), f"{sql}\n{params}\n{plan}"
        if history.dialect == "sqlite" and " limit " in sql:
            assert "TEMP B-TREE FOR ORDER BY" not in plan, f"a page is sorted: {sql}\n{plan}"
    history.asked.clear()


def runs_of(history: History) -> Runs:
    """The use cases of runs."""
    keyring = Keyring(history.db, SealingKey(b"k" * 32, DICE), DICE, {})
    return Runs(
        db=history,  # type: ignore[arg-type]  # it only reads
        bindings=None,  # type: ignore[arg-type]  # not needed to read
        keyring=keyring,
        clock=history.clock,
        ids=TimeSortedIds(),
        dice=DICE,
    )


async def test_lists_of_runs_and_their_search_go_by_an_index(history: History) -> None:
    runs = runs_of(history)
    [*page] = await runs.list_page(OWNER, RunFilters(), rows=20)
    middle = page[10]
    since = middle["started_at"]
    for filters in (
        RunFilters(),
        RunFilters(agent="agent-01"),
        RunFilters(agent="agent-01", state="failed"),
        RunFilters(state="running"),
        RunFilters(team="legal"),
        RunFilters(team="legal", state="failed"),
        RunFilters(kind="external"),
        RunFilters(correlation=middle["correlation"]),
        RunFilters(since=since),
        RunFilters(since=since, until=since + 3_600_000_000, agent="agent-00"),
        RunFilters(text=middle["id"]),
        RunFilters(text=middle["id"][:14]),
        RunFilters(text="refund parcel"),
        *(RunFilters(having=state) for state in ("failed", "refused", "held", "in_doubt")),
        RunFilters(having="refused", team="support"),
    ):
        for before in ("", middle["id"]):
            await runs.list_page(OWNER, filters, before=before, rows=20)
    await runs.show(OWNER, history.written.longest_run)
    await check(history)


async def test_lists_of_actions_go_by_an_index(history: History) -> None:
    service = Actions(db=history)  # type: ignore[arg-type]  # it only reads
    long = history.written.longest_run
    page = await service.list_of_run(OWNER, long, after="", rows=100)
    assert len(page) == 100
    await service.list_of_run(OWNER, long, after=page[-1]["id"], rows=100)
    at = page[50]["proposed_at"]
    for filters in (
        ActionFilters(),
        ActionFilters(run=long, kind="tool"),
        ActionFilters(agent="agent-01"),
        ActionFilters(agent="agent-01", kind="model", state="refused"),
        ActionFilters(team="legal"),
        *(ActionFilters(state=s) for s in ("failed", "refused", "held", "suggested", "in_doubt")),
        ActionFilters(state="refused", team="legal"),
        ActionFilters(since=at, until=at + 60_000_000),
    ):
        for before in (None, (long, page[50]["id"])):
            await service.list_page(OWNER, filters, before=before, rows=20)
    await service.show(OWNER, page[50]["id"], whole=False)
    await check(history)


async def test_what_runs_in_the_background_goes_by_an_index(history: History) -> None:
    now = history.clock.micros()
    await history.read(health.count_in_doubt)
    await history.read(lambda tx: doubts.list_due(tx, now=now, rows=50))
    await history.read(
        lambda tx: actions.list_orphaned(tx, me="prc_1", now=now, silent_since=now, rows=50)
    )
    await history.read(ledger.unsealed)
    history.asked = [(sql, params) for sql, params in history.asked if " actions" in sql]
    for sql, params in history.asked:
        plan = await history.plan(sql, params)
        assert not scanned(plan), f"{sql}\n{plan}"
        assert "SCAN actions USING COVERING" not in plan, f"all of it is read: {plan}"


async def test_the_history_is_what_the_product_itself_would_have_written(tmp_path: Path) -> None:
    """Goal: figures over it mean something. Method: the ledger's own check, over every row."""
    clock = Then(SystemClock().micros() - 86_400_000_000)
    db = SqliteDatabase(tmp_path / "q.db", writer="prc_history", clock=clock)
    try:
        shape = Shape(actions=800, runs=30, longest=200, agents=6, days=1)
        master = SealingKey(b"k" * 32, DICE)
        written = await fill_database(db, master, clock, shape, say=lambda _: None)
        key = ledger.key_of(await Keyring(db, master, DICE, {}).ledger_signer())
        verifying = Verifying(key=key)
        await db.read(verifying.begin)
        while await db.read(verifying.page):
            pass
        await db.read(verifying.finish)
        report = verifying.report()
        assert report.ok, report.problems
        assert report.bodies_checked > 2 * 0.9 * written.actions
        row = await db.read(lambda tx: tx.row("select incarnation from standing"))
        assert row is not None
        assert row["incarnation"] == INCARNATION
    finally:
        await db.close()
