"""Plans: a list of calls is judged whole and none is made; then each is asked anew, in order."""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.checkpoint import plans
from quarterdeck.checkpoint.plans import Carried, Judged
from quarterdeck.domain.actions import Cleared, Held, Receipt
from quarterdeck.domain.errors import Conflict, Invalid, LimitExceeded, NotFound
from quarterdeck.domain.limits import PLAN_STEPS_MAX, PLANS_OF_RUN_MAX
from quarterdeck.domain.plans import Step
from quarterdeck.store import standing
from tests.checkpoint.conftest import OWNER, Bench, opened
from tests.checkpoint.test_approvals import answer, suggesting
from tests.fleets import files


def calls(*targets: str, key: str | None = None) -> list[Step]:
    """Calls of these tools, each with other arguments."""
    return [
        Step(number=n, target=target, arguments=b'{"n":%d}' % n, idempotency_key=key)
        for n, target in enumerate(targets, 1)
    ]


async def judge(bench: Bench, steps: list[Step]) -> Judged:
    """What the rules say of a plan."""
    return await plans.judge(bench.house.checkpoint, bench.run.credential, steps)


async def carry_out(bench: Bench, plan: str) -> Carried:
    """Carry a plan out."""
    checkpoint = bench.house.checkpoint
    return await plans.carry_out(checkpoint, bench.run.credential, plan, bench.effect)


def answers(judged: Judged) -> list[tuple[str, str]]:
    """Each call's answer, and the rule that gave it."""
    return [(v.answer, v.reasons[-1].rule) for v in judged.verdicts]


def states(carried: Carried) -> list[str]:
    """What became of each call that was asked for."""
    return [plans.state_of(outcome) for outcome in carried.outcomes]


async def test_a_plan_is_judged_and_nothing_of_it_is_made(bench: Bench) -> None:
    judged = await judge(bench, calls("look_up", "pay", "wipe", "nope"))
    assert judged.answer == "invalid"
    assert [a for a, _ in answers(judged)] == ["allow", "allow", "ask", "deny"]
    assert bench.effects == []
    assert (
        await bench.house.services.actions.list_of_run(OWNER, bench.run.id, after="", rows=9) == []
    )
    budgets = await bench.house.services.costs.budgets_of(OWNER, "agent:clerk")
    assert {(b["held"], b["charged"]) for b in budgets} <= {(0, 0)}
    assert await bench.house.services.approvals.list_page(OWNER) == [], "nobody is asked yet"


async def test_arguments_that_break_a_contract_make_a_plan_invalid(bench: Bench) -> None:
    step = Step(number=1, target="pay", arguments=b'{"n":"x"}', idempotency_key=None)
    judged = await judge(bench, [step])
    assert answers(judged) == [("deny", "contract:arguments")]
    with pytest.raises(Conflict, match="found invalid"):
        await carry_out(bench, judged.id)


async def test_ten_calls_need_room_for_ten(tmp_path: Path) -> None:
    async with opened(tmp_path, files(agent_cap="0.01")) as bench:
        judged = await judge(bench, calls("pay", "pay", "pay", "pay"))
        assert [a for a, _ in answers(judged)] == ["allow"] * 3 + ["deny"]
        assert judged.verdicts[3].reasons[0].rule.startswith("budget:agent:clerk/")
        fits = await judge(bench, calls("pay", "pay", "pay"))
        assert fits.answer == "valid"
        assert states(await carry_out(bench, fits.id)) == ["done"] * 3


async def test_a_rate_counts_the_whole_plan(tmp_path: Path) -> None:
    fleet = dict(files())
    fleet["tools/pay.yaml"] += b"rates: [{calls: 2, per: day}]\n"
    async with opened(tmp_path, fleet) as bench:
        judged = await judge(bench, calls("pay", "pay", "pay"))
        assert [rule for _, rule in answers(judged)][2] == "rate:tool:pay"


async def test_a_plan_is_carried_out_in_order_and_asked_for_again_nothing_happens_twice(
    bench: Bench,
) -> None:
    judged = await judge(bench, calls("look_up", "pay", "file_note"))
    carried = await carry_out(bench, judged.id)
    assert states(carried) == ["done"] * 3
    assert bench.effects == [o.action.id for o in carried.outcomes]
    again = await carry_out(bench, judged.id)
    assert [o.action.id for o in again.outcomes] == bench.effects
    assert len(bench.effects) == 3


async def test_it_stops_at_the_first_call_that_is_not_done(bench: Bench) -> None:
    judged = await judge(bench, calls("look_up", "pay", "file_note"))

    async def breaks(cleared: Cleared) -> Receipt:
        if cleared.action.target == "pay":
            raise ValueError("the bank is closed")
        return await bench.effect(cleared)

    checkpoint = bench.house.checkpoint
    for _ in range(2):
        carried = await plans.carry_out(checkpoint, bench.run.credential, judged.id, breaks)
        assert states(carried) == ["done", "failed"]
    assert len(bench.effects) == 1


async def test_a_plan_that_is_cut_off_goes_on_where_it_was(bench: Bench) -> None:
    judged = await judge(bench, calls("look_up", "pay", "file_note"))

    class Dies(BaseException):
        """The process ends here."""

    async def dies(cleared: Cleared) -> Receipt:
        if cleared.action.target == "file_note":
            raise Dies
        return await bench.effect(cleared)

    checkpoint = bench.house.checkpoint
    with pytest.raises(Dies):
        await plans.carry_out(checkpoint, bench.run.credential, judged.id, dies)
    assert len(bench.effects) == 2
    carried = await carry_out(bench, judged.id)
    assert states(carried) == ["done", "done", "in_doubt"], "nobody knows of the third"
    assert len(bench.effects) == 2, "what was done is answered, and not done again"


async def test_a_call_that_needs_a_person_stops_it_until_they_answer(bench: Bench) -> None:
    judged = await judge(bench, calls("pay", "wipe", "file_note"))
    assert judged.answer == "valid"
    carried = await carry_out(bench, judged.id)
    assert states(carried) == ["done", "held"]
    waiting = carried.outcomes[-1]
    assert isinstance(waiting, Held)
    shown = await bench.house.services.approvals.show(OWNER, str(waiting.approval))
    assert shown["plan"] == judged.id
    await answer(bench, waiting.approval)
    assert states(await carry_out(bench, judged.id)) == ["done"] * 3
    assert len(bench.effects) == 3


async def test_a_plan_of_an_agent_that_only_suggests_is_suggested(tmp_path: Path) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        judged = await judge(bench, calls("look_up", "pay"))
        assert [a for a, _ in answers(judged)] == ["allow", "suggest"]
        assert states(await carry_out(bench, judged.id)) == ["done", "suggested"]


async def test_every_call_is_asked_anew_when_it_is_made(bench: Bench) -> None:
    judged = await judge(bench, calls("look_up", "pay"))
    await bench.house.db.write(lambda tx: standing.freeze(tx, "tool:pay", "test"))
    assert states(await carry_out(bench, judged.id)) == ["done", "refused"]
    frozen = await judge(bench, calls("pay"))
    assert answers(frozen) == [("deny", "freeze:tool:pay")]


async def test_another_run_has_no_such_plan(bench: Bench) -> None:
    judged = await judge(bench, calls("look_up"))
    other = await bench.house.services.runs.start(OWNER, "clerk", {}, kind="external")
    with pytest.raises(NotFound):
        await plans.carry_out(bench.house.checkpoint, other.credential, judged.id, bench.effect)
    with pytest.raises(NotFound):
        await bench.house.services.plans.show_own(other.id, judged.id)


@pytest.mark.parametrize(
    "steps", [[], calls(*["look_up"] * (PLAN_STEPS_MAX + 1)), calls("pay", "pay", key="k")]
)
async def test_a_plan_that_cannot_be_one_is_invalid(bench: Bench, steps: list[Step]) -> None:
    with pytest.raises(Invalid):
        await judge(bench, steps)


async def test_a_run_makes_so_many_plans_and_no_more(bench: Bench) -> None:
    await bench.house.db.write(lambda tx: _fill(tx, bench.run.id))
    with pytest.raises(LimitExceeded):
        await judge(bench, calls("look_up"))


def _fill(tx: Any, run: str) -> None:
    row = {
        "run": run, "agent": "clerk", "team": "desk", "revision": "r", "digest": "d",
        "answer": "valid", "incarnation": "inc",
    }  # fmt: skip
    from quarterdeck.store import plans as rows

    for number in range(PLANS_OF_RUN_MAX):
        rows.insert(tx, {**row, "id": f"pln_{number}"}, [])


async def test_what_a_plan_says_is_kept_redacted_and_sealed(bench: Bench) -> None:
    arguments = b'{"text":"ann@example.com"}'
    step = Step(number=1, target="look_up", arguments=arguments, idempotency_key=None)
    judged = await judge(bench, [step])
    shown = await bench.house.services.plans.show(OWNER, judged.id)
    assert "ann@example.com" not in str(shown)
    sent: list[bytes] = []

    async def looks(cleared: Cleared) -> Receipt:
        sent.append(cleared.action.arguments)
        return await bench.effect(cleared)

    await plans.carry_out(bench.house.checkpoint, bench.run.credential, judged.id, looks)
    assert sent == [arguments]
