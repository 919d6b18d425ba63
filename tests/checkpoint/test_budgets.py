"""I-3: no admission takes charged + held above a cap, whoever asks at once."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.actions import Cleared, Done, Refused
from quarterdeck.domain.budgets import Bound as Used
from quarterdeck.domain.budgets import Budget, Hold, Reservation, Shortfall, charges, reserve
from quarterdeck.domain.ids import BudgetId
from quarterdeck.services.changes import Changes
from tests.checkpoint.conftest import OWNER, opened
from tests.fleets import files

DAY = BudgetId("agent:a/nanousd/day/2026-11-21")


async def test_a_hard_cap_holds_under_many_at_once(tmp_path: Path) -> None:
    # 100 reads at 0.001 USD each, room for 25.
    async with opened(tmp_path, files(agent_cap="0.025")) as bench:
        outcomes = await asyncio.gather(*(bench.do(bench.tool("look_up", n=n)) for n in range(100)))
        done = [o for o in outcomes if isinstance(o, Done)]
        refused = [o for o in outcomes if isinstance(o, Refused)]
        assert (len(done), len(refused)) == (25, 75)
        budget = await bench.budgets()
        assert (budget["charged"], budget["held"], budget["room"]) == (25_000_000, 0, 0)
        words = refused[0].verdict.reasons[0]
        assert words.rule.startswith("budget:agent:clerk/nanousd/day/")
        assert "0.025 USD" in words.because


async def test_the_tightest_of_three_budgets_decides(tmp_path: Path) -> None:
    async with opened(tmp_path, files(agent_cap="5", team_cap="0.0025")) as bench:
        outcomes = [await bench.do(bench.tool("look_up", n=n)) for n in range(3)]
        assert [type(o) for o in outcomes] == [Done, Done, Refused]
        for scope in ("fleet", "team:desk", "agent:clerk"):
            budget = await bench.budgets(scope)
            assert (budget["charged"], budget["held"]) == (2_000_000, 0), scope


async def test_a_lowered_cap_closes_an_open_window_and_says_by_how_much(tmp_path: Path) -> None:
    async with opened(tmp_path, files(agent_cap="0.01")) as bench:
        for n in range(4):
            await bench.done(bench.tool("look_up", n=n))
        changes: Changes = bench.house.services.changes
        await changes.apply(OWNER, files(agent_cap="0.002"))
        budget = await bench.budgets()
        assert (budget["cap"], budget["charged"], budget["overrun"]) == (
            2_000_000,
            4_000_000,
            2_000_000,
        )
        assert isinstance(await bench.do(bench.tool("look_up", n=9)), Refused)
        await changes.apply(OWNER, files(agent_cap="0.02"))
        assert isinstance(await bench.do(bench.tool("look_up", n=10)), Done)


async def test_what_is_held_is_not_available_and_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path, files(agent_cap="0.001")) as bench:
        admission = await bench.house.checkpoint.admit(bench.tool("look_up", n=1))
        assert isinstance(admission, Cleared)
        assert isinstance(await bench.do(bench.tool("look_up", n=2)), Refused)
        from quarterdeck.domain.actions import Receipt

        receipt = Receipt(status="not_attempted", result=b"")
        await bench.house.checkpoint.settle(admission, receipt)
        assert isinstance(await bench.do(bench.tool("look_up", n=3)), Done)


amounts = st.integers(min_value=0, max_value=10**12)


@given(cap=st.none() | amounts, held=amounts, charged=amounts, wanted=amounts)
def test_reserve_says_yes_exactly_when_there_is_room(
    cap: int | None, held: int, charged: int, wanted: int
) -> None:
    row = Budget(id=DAY, cap=cap, held=held, charged=charged, overrun=0)
    answer = reserve({DAY: row}, (Hold(budget=DAY, unit="nanousd", amount=wanted),), "prc_1")
    fits = cap is None or wanted == 0 or held + charged + wanted <= cap
    assert isinstance(answer, Reservation if fits else Shortfall)


@given(held=amounts, used=amounts)
def test_a_charge_is_what_was_used_and_its_overrun_what_passed_the_hold(
    held: int, used: int
) -> None:
    reservation = Reservation(holds=(Hold(budget=DAY, unit="nanousd", amount=held),), owner="prc_1")
    [(hold, amount, overrun)] = charges(reservation, Used(nanousd=used, tokens=0))
    assert (hold.amount, amount, overrun) == (held, used, max(0, used - held))


@pytest.mark.parametrize("count", [1, 3])
def test_a_shortfall_names_the_first_budget_without_room(count: int) -> None:
    ids = [BudgetId(f"agent:{n}/nanousd/day/2026-11-21") for n in range(count)]
    rows = {i: Budget(id=i, cap=10, held=0, charged=10, overrun=0) for i in ids}
    holds = tuple(Hold(budget=i, unit="nanousd", amount=1) for i in ids)
    answer = reserve(rows, holds, "prc_1")
    assert isinstance(answer, Shortfall)
    assert answer.budget == ids[0]
