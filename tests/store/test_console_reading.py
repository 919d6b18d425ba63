"""What the console reads of a long history: right, by an index, on both databases."""

from pathlib import Path

import pytest

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.ids import TeamName
from quarterdeck.domain.people import Caller
from quarterdeck.services.conversations import Conversations
from quarterdeck.services.overview import Overview
from quarterdeck.services.search import NOTABLE, Search
from quarterdeck.services.sessions import EndedSessions
from quarterdeck.services.timeline import Timeline
from quarterdeck.services.views import View, Views
from quarterdeck.settings import Settings
from quarterdeck.store import overview
from quarterdeck.store.database import Database, Reading, Transaction
from tests.store.test_plans import (
    OWNER,
    History,
    history,  # noqa: F401  the fixture
    runs_of,
    scanned,
)


def ids_of(tx: Reading, run: str, state: str = "") -> list[str]:
    """A run's actions in order, read plainly."""
    rows = tx.rows("select id, state from actions where run = :r order by id", {"r": run})
    return [row["id"] for row in rows if state in ("", row["state"])]


def _ask(tx: Transaction) -> int:
    """A card for each action that is held, as the checkpoint would have opened it."""
    return tx.execute(
        "insert into approvals (id, action, run, agent, team, revision, kind, target, call, digest,"
        " labels, consequences, incarnation, state, asked_at)"
        " select 'apr_' || id, id, run, agent, team, revision, kind, target, digest, digest,"
        " labels, '{}', (select incarnation from standing where id = 1), 'waiting', proposed_at"
        " from actions where state = 'held'"
    )


async def by_index(history: History) -> None:  # noqa: F811  the fixture
    """Nothing that was asked reads a large table from end to end."""
    assert history.asked
    for sql, params in history.asked:
        plan = await history.plan(sql, params)
        assert not scanned(plan), f"{sql}\n{plan}"
    history.asked.clear()


async def test_a_long_run_is_read_by_place_and_nothing_between_is(history: History) -> None:  # noqa: F811  the fixture
    timeline = Timeline(db=history)  # type: ignore[arg-type]  # it only reads
    run = history.written.longest_run
    ids = await history.db.read(lambda tx: ids_of(tx, run))
    shown = await timeline.show(OWNER, run)
    assert shown["actions"] == len(ids) == sum(shown["states"].values())
    middle = await timeline.window(OWNER, run, offset=700, rows=100)
    assert [action["id"] for action in middle.actions] == ids[700:800]
    assert middle.led
    assert await timeline.place_of(OWNER, run, ids[700]) == 700
    assert await timeline.neighbours(OWNER, run, ids[700]) == (ids[699], ids[701])
    assert await timeline.neighbours(OWNER, run, ids[0]) == ("", ids[1])
    assert await timeline.neighbours(OWNER, run, ids[-1]) == (ids[-2], "")
    await timeline.stamps(["", run])
    await by_index(history)


async def test_a_run_narrowed_to_a_state_reads_only_those_actions(history: History) -> None:  # noqa: F811  the fixture
    timeline = Timeline(db=history)  # type: ignore[arg-type]  # it only reads
    run = history.written.longest_run
    refused = await history.db.read(lambda tx: ids_of(tx, run, "refused"))
    assert len(refused) > 5
    found = await timeline.window(OWNER, run, offset=2, rows=3, states=("refused",))
    assert [action["id"] for action in found.actions] == refused[2:5]
    both = await timeline.window(OWNER, run, offset=0, rows=500, states=NOTABLE)
    assert {action["state"] for action in both.actions} <= set(NOTABLE)
    await by_index(history)


async def test_the_fleet_and_an_agent_are_read_by_an_index(
    history: History,  # noqa: F811  the fixture
    tmp_path: Path,
) -> None:
    reading = Overview(
        db=history,  # type: ignore[arg-type]  # it only reads
        bindings=Bindings(history),  # type: ignore[arg-type]  # it only reads
        settings=Settings(folder=tmp_path),
        clock=history.clock,
    )
    counted = await history.db.write(_ask)
    fleet = await reading.fleet(OWNER)
    assert len(fleet.agents) == 8
    assert fleet.waiting.approvals == counted > 0
    assert await history.db.read(lambda tx: overview.count_notable(tx, "held", "")) == counted
    billing = Caller(id="token:vic", role="viewer", team=TeamName("billing"))
    own = await reading.fleet(billing)
    assert {agent.team for agent in own.agents} == {"billing"}
    assert 0 < own.waiting.approvals < counted
    await by_index(history)
    await reading.agent(OWNER, "agent-01")
    with pytest.raises(NotFound):
        await reading.agent(billing, "agent-00")


async def test_actions_on_a_target_are_read_by_an_index_and_go_on_where_they_ended(
    history: History,  # noqa: F811  the fixture
) -> None:
    search = Search(
        db=history,  # type: ignore[arg-type]  # it only reads
        clock=history.clock,
        runs=runs_of(history),
    )
    filters = {"target": "refund"}
    first, further = await search.list_on_target(OWNER, filters, rows=20)
    second, _ = await search.list_on_target(OWNER, filters, before=further, rows=20)
    ids = [action["id"] for action in (*first, *second)]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) == 40
    none, further = await search.list_on_target(OWNER, {**filters, "agent": "agent-99"})
    assert (none, further) == ([], "")
    listed = await search.list_runs(OWNER, {"with": "refused", "agent": "agent-01"}, rows=20)
    assert listed
    assert all(run["refused"] for run in listed)
    await by_index(history)


async def test_a_late_turn_is_read_from_its_end(history: History) -> None:  # noqa: F811  the fixture
    conversations = Conversations(db=history)  # type: ignore[arg-type]  # it only reads
    run = history.written.longest_run
    models = await history.db.read(
        lambda tx: tx.rows(
            "select id from actions where run = :r and kind = 'model' order by id", {"r": run}
        )
    )
    turn = await conversations.show(OWNER, models[-1]["id"])
    assert turn.total > 200
    assert turn.shared == turn.start == turn.total - 1
    assert len(turn.parts) == 1
    links = [sql for sql, _ in history.asked if "payloads" in sql]
    assert len(links) <= 6, "the conversation before it is not walked"
    earlier = await conversations.show(OWNER, models[-1]["id"], earlier=20)
    assert [part.place for part in earlier.parts] == list(range(turn.total - 21, turn.total))
    history.asked.clear()


async def test_views_are_a_persons_own(database: Database) -> None:
    views = Views(db=database)
    other = Caller(id="local:bob", role="viewer")
    await views.save(OWNER, "  slow   ones ", "state=running")
    await views.save(OWNER, "slow ones", "state=failed")
    await views.save(other, "mine", "")
    assert await views.list_own(OWNER) == [View(name="slow ones", query="state=failed")]
    with pytest.raises(NotFound):
        await views.forget(other, "slow ones")
    await views.forget(OWNER, "slow ones")
    assert await views.list_own(OWNER) == []


async def test_a_session_that_ended_is_known_to_whoever_asks_the_database(
    database: Database,
) -> None:
    first, second = EndedSessions(db=database), EndedSessions(db=database)
    await first.end("session-1", 10**18)
    await first.end("session-1", 10**18)
    assert await second.has_ended("session-1")
    assert not await second.has_ended("session-2")
    kept = await database.read(lambda tx: tx.rows("select hash from ended_sessions"))
    assert b"session-1" not in bytes(kept[0]["hash"])
