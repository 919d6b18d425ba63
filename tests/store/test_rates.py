"""Rates hold exactly, in every process and whatever runs at once; their windows do not pile up."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.domain.actions import Done, Held, Outcome, Receipt, Refused
from quarterdeck.domain.blast_radius import computed
from quarterdeck.domain.budgets import rate_end, window_start
from quarterdeck.domain.ids import BudgetId
from quarterdeck.fleet.load import load
from quarterdeck.loops.forget_rates import forget_rates
from tests.doubles import SteppingClock
from tests.fleets import files
from tests.store.places import OWNER, Desk, Place

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)


def rated(rates: str, tool: str = "look_up") -> Mapping[str, bytes]:
    """The small fleet with rates on a tool."""
    found = dict(files())
    found[f"tools/{tool}.yaml"] += f"\nrates: {rates}\n".encode()
    return found


async def opened(place: Place, rates: str, writer: str = "prc_1", at: datetime = NOON) -> Desk:
    """A desk whose clock a test moves."""
    desk = await Desk.open(place, writer)
    await desk.changes.apply(OWNER, rated(rates))
    await desk.start_run()
    desk.checkpoint.clock = SteppingClock(time=at)
    return desk


def rule_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Refused)
    return outcome.verdict.reasons[0].rule


async def windows(desk: Desk) -> dict[str, tuple[int | None, int, int]]:
    """The windows of rates: cap, held, charged."""
    rows = await desk.db.read(
        lambda tx: tx.rows("select * from budgets where id >= 'tool:' and id < 'tool;' order by id")
    )
    return {row["id"]: (row["cap"], row["held"], row["charged"]) for row in rows}


async def test_a_rate_holds_under_many_at_once_and_says_when_it_ends(place: Place) -> None:
    desk = await opened(place, "[{calls: 3, per: minute}]")
    outcomes = await asyncio.gather(*(desk.act(n=n) for n in range(20)))
    refused = [o for o in outcomes if isinstance(o, Refused)]
    assert (len(outcomes) - len(refused), len(refused)) == (3, 17)
    assert {rule_of(o) for o in refused} == {"rate:tool:look_up"}
    assert refused[0].verdict.reasons[0].because == (
        "`clerk` may call `look_up` 3 times per minute, and has;"
        " the next minute begins at 2026-11-21T12:01Z"
    )
    assert await windows(desk) == {"tool:look_up@clerk/calls/minute/2026-11-21T12:00": (3, 0, 3)}


async def test_the_next_window_is_open_again_and_the_longer_one_still_counts(place: Place) -> None:
    desk = await opened(place, "[{calls: 2, per: minute}, {calls: 3, per: hour}]")
    clock = desk.checkpoint.clock
    assert isinstance(clock, SteppingClock)
    passed = [isinstance(await desk.act(n=n), Done) for n in range(3)]
    clock.push(60)
    passed += [isinstance(await desk.act(n=n), Done) for n in range(3, 5)]
    assert passed == [True, True, False, True, False]
    clock.push(3600)
    assert isinstance(await desk.act(n=9), Done)


async def test_what_is_under_way_counts_and_what_never_began_does_not(place: Place) -> None:
    desk = await opened(place, "[{calls: 1, per: hour}]")
    begun = await desk.begin(n=1)
    assert rule_of(await desk.act(n=2)) == "rate:tool:look_up"
    await desk.checkpoint.settle(begun, Receipt(status="not_attempted", result=b""))
    assert isinstance(await desk.act(n=3), Done)


async def test_a_call_that_failed_counts(place: Place) -> None:
    desk = await opened(place, "[{calls: 1, per: hour}]")
    begun = await desk.begin(n=1)
    await desk.checkpoint.settle(begun, Receipt(status="failed", result=b"", cost_nanousd=0))
    assert rule_of(await desk.act(n=2)) == "rate:tool:look_up"
    row = await desk.db.read(lambda tx: tx.row("select cost_nanousd from actions where id = :id",
                                               {"id": begun.action.id}))  # fmt: skip
    assert row is not None
    assert row["cost_nanousd"] == 1_000_000, "whatever a back end says, a call costs what it costs"


async def test_processes_share_one_rate(postgresql_place: Place) -> None:
    place = postgresql_place
    desks = [await opened(place, "[{calls: 10, per: hour}]", f"prc_{n}") for n in (1, 2, 3)]
    outcomes = await asyncio.gather(*(desks[n % 3].act(n=n) for n in range(30)))
    assert sum(isinstance(o, Done) for o in outcomes) == 10
    assert [held for _, held, _ in (await windows(desks[0])).values()] == [0]


async def test_an_agent_s_calls_of_one_tool_leave_the_others_alone(place: Place) -> None:
    desk = await opened(place, "[{calls: 1, per: day}]")
    assert isinstance(await desk.act(n=1), Done)
    assert isinstance(await desk.act(n=2), Refused)
    assert isinstance(await desk.act("file_note", n=3), Done)
    assert list(await windows(desk)) == ["tool:look_up@clerk/calls/day/2026-11-21"]


async def test_a_rate_that_changes_holds_in_the_window_that_is_open(place: Place) -> None:
    desk = await opened(place, "[{calls: 5, per: day}]", at=datetime.now(UTC))
    assert isinstance(await desk.act(n=1), Done)
    await desk.changes.apply(OWNER, rated("[{calls: 1, per: day}]"))
    assert rule_of(await desk.act(n=2)) == "rate:tool:look_up"


async def test_nobody_is_asked_about_a_call_above_its_rate(place: Place) -> None:
    desk = await Desk.open(place)
    found = dict(files())
    found["tools/wipe.yaml"] = found["tools/wipe.yaml"].replace(b"calls: 1000", b"calls: 1")
    found["tools/wipe.yaml"] = found["tools/wipe.yaml"].replace(b"privileged", b"write")
    await desk.changes.apply(OWNER, found)
    await desk.start_run()
    assert isinstance(await desk.act("wipe", n=1), Done)
    found["tools/wipe.yaml"] = found["tools/wipe.yaml"].replace(b"write\n", b"privileged\n", 1)
    await desk.changes.apply(OWNER, found)
    await desk.start_run()
    outcome = await desk.act("wipe", n=2)
    assert not isinstance(outcome, Held)
    assert rule_of(outcome) == "rate:tool:wipe"


async def test_windows_that_are_over_are_forgotten_and_held_ones_are_not(place: Place) -> None:
    rates = "[{calls: 90, per: minute}, {calls: 90, per: hour}, {calls: 90, per: day}]"
    desk = await opened(place, rates)
    clock = desk.checkpoint.clock
    assert isinstance(clock, SteppingClock)
    held = await desk.begin(n=0)
    for n in range(1, 5):
        clock.push(60)
        assert isinstance(await desk.act(n=n), Done)
    assert len(await windows(desk)) == 5 + 1 + 1
    assert await forget_rates(desk.db, clock) == 0
    clock.push(2 * 3600)
    assert isinstance(await desk.act(n=9), Done)
    assert await forget_rates(desk.db, clock) == 4, "the first minute is held, and so is its hour"
    await desk.checkpoint.settle(held, Receipt(status="done", result=b"{}"))
    assert await forget_rates(desk.db, clock) == 2
    clock.push(48 * 3600)
    assert await forget_rates(desk.db, clock) == 3
    assert await windows(desk) == {}
    budgets = await desk.db.read(lambda tx: tx.rows("select id from budgets"))
    assert len(budgets) >= 3, "no other budget is touched"


@pytest.mark.parametrize(
    ("budget", "end"),
    [
        ("tool:a@b/calls/minute/2026-12-31T23:59", datetime(2027, 1, 1, tzinfo=UTC)),
        ("tool:a@b/calls/hour/2026-11-21T12", datetime(2026, 11, 21, 13, tzinfo=UTC)),
        ("tool:a@b/calls/day/2028-02-28", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_window_ends_where_the_next_begins(budget: str, end: datetime) -> None:
    assert rate_end(BudgetId(budget)) == end


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2090, 1, 1)))  # noqa: DTZ001  made UTC below
def test_windows_of_one_period_sort_as_time_does(at: datetime) -> None:
    now = at.replace(tzinfo=UTC)
    for period in ("minute", "hour", "day"):
        start = window_start(period, now)  # type: ignore[arg-type]  # a literal
        end = rate_end(BudgetId(f"tool:a@b/calls/{period}/{start}"))
        assert start < window_start(period, end)  # type: ignore[arg-type]  # a literal
        assert now < end


# --- the computed radius is never passed ---------------------------------------------------------


RATES = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(["minute", "hour", "day"])),
    max_size=2,
    unique_by=lambda rate: rate[1],
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rates=RATES, cap=st.integers(0, 8), calls=st.integers(1, 8), steps=st.integers(1, 10))
async def test_an_hour_of_calls_never_passes_the_computed_radius(
    tmp_path_factory: pytest.TempPathFactory, rates: list[tuple[int, str]], cap: int, calls: int,
    steps: int,
) -> None:  # fmt: skip
    """As fast as the checkpoint lets it, for one hour of the clock, against the real database."""
    said = ", ".join(f"{{calls: {calls}, per: {per}}}" for calls, per in rates)
    folder = dict(rated(f"[{said}]", "file_note"))
    budget = f'budgets: [{{unit: usd, per: day, amount: "{cap * 0.002:.3f}"}}, '
    budget += f"{{unit: calls, per: week, amount: {calls}}}]"
    folder["agents/clerk.yaml"] = folder["agents/clerk.yaml"].replace(
        b'budgets: [{unit: usd, per: day, amount: "50"}]', budget.encode()
    )
    folder["agents/clerk.yaml"] = folder["agents/clerk.yaml"].replace(
        b"tools: [look_up, file_note, pay, wipe, escalate]", b"tools: [file_note]"
    )
    fleet = load(folder)
    agent = next(iter(fleet.agents.values()))
    most = computed(agent, fleet).figures["written"]
    assert most is not None
    place = Place("sqlite", tmp_path_factory.mktemp("hour"), None)
    try:
        desk = await Desk.open(place)
        await desk.changes.apply(OWNER, folder)
        await desk.start_run()
        clock = SteppingClock(time=NOON.replace(minute=0, second=0))
        desk.checkpoint.clock = clock
        written = 0
        for step in range(steps):
            outcomes = await asyncio.gather(
                *(desk.act("file_note", n=10 * step + n) for n in range(3))
            )
            written += sum(isinstance(o, Done) for o in outcomes)
            clock.push(3600 / steps - 1)
        assert clock.time.hour == NOON.hour
        assert written <= most
        needed = -(-int(most) // 3)
        if not rates and steps >= needed:
            assert written == most, "without rates the bound is reached, and exactly"
    finally:
        await place.close()
