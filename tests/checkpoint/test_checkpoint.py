"""The checkpoint's answers: a fleet and an action in, an outcome, a row and a leaf out."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.domain.actions import Cleared, Done, Held, InDoubt, Receipt, Refused, Suggested
from quarterdeck.domain.errors import Conflict, Unidentified
from quarterdeck.domain.money import Usage
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.domain.verdicts import deny
from quarterdeck.store import runs, standing
from tests.checkpoint.conftest import OWNER, Bench, opened
from tests.fleets import files


async def test_a_granted_tool_is_carried_out_and_recorded(bench: Bench) -> None:
    done = await bench.done(bench.tool("look_up"))
    row = await bench.row(done.action.id)
    assert (row["state"], row["answer"], row["cost_nanousd"]) == ("done", "allow", 1_000_000)
    assert bench.effects == [done.action.id]


@pytest.mark.parametrize("name", ["nope", "route_ticket", "", "look_up "])
async def test_a_tool_nobody_granted_is_denied_in_the_same_words_as_an_unknown_one(
    bench: Bench, name: str
) -> None:
    outcome = await bench.do(bench.tool(name))
    assert isinstance(outcome, Refused)
    assert [r.rule for r in outcome.verdict.reasons] == ["default:tool"]
    assert outcome.verdict.reasons[0].because == f"the agent `clerk` has no tool `{name}`"
    assert bench.effects == []


async def test_arguments_that_break_the_contract_are_denied(bench: Bench) -> None:
    outcome = await bench.do(bench.tool("look_up", arguments=b'{"n":"one"}'))
    assert isinstance(outcome, Refused)
    assert outcome.verdict.reasons[0].rule == "contract:arguments"
    assert "n" in outcome.verdict.reasons[0].because


async def test_a_privileged_tool_is_held_for_a_person(bench: Bench) -> None:
    outcome = await bench.do(bench.tool("wipe"))
    assert isinstance(outcome, Held)
    row = await bench.row(outcome.action.id)
    assert (row["state"], row["answer"], row["holds"]) == ("held", "ask", "[]")
    assert (await bench.budgets())["held"] == 0, "waiting for a person holds no money"


async def test_an_agent_at_l1_suggests_its_writes(tmp_path: Path) -> None:
    fleet = dict(files())
    fleet["agents/clerk.yaml"] = fleet["agents/clerk.yaml"].replace(
        b"autonomy: L2", b"autonomy: L1"
    )
    async with opened(tmp_path, fleet) as bench:
        outcome = await bench.do(bench.tool("pay"))
        assert isinstance(outcome, Suggested)
        assert (await bench.row(outcome.action.id))["state"] == "suggested"
        assert isinstance(await bench.do(bench.tool("look_up")), Done), "reads go on"
        assert len(bench.effects) == 1


async def test_a_finding_of_the_wire_denies_whatever_the_grants_say(bench: Bench) -> None:
    outcome = await bench.do(bench.model(findings=(deny("wire:x", "no"),)))
    assert isinstance(outcome, Refused)
    assert [r.rule for r in outcome.verdict.reasons] == ["wire:x"]


async def test_a_model_call_without_a_bound_is_denied(bench: Bench) -> None:
    outcome = await bench.do(bench.model(tokens=None))
    assert isinstance(outcome, Refused)
    assert outcome.verdict.reasons[0].rule == "error:bound"


async def test_a_frozen_agent_is_denied_at_once(bench: Bench) -> None:
    for scope in ("agent:clerk", "team:desk", "fleet", "tool:look_up", f"run:{bench.run.id}"):
        await bench.house.db.write(lambda tx, s=scope: standing.freeze(tx, s, "test"))
        outcome = await bench.do(bench.tool("look_up"))
        assert isinstance(outcome, Refused)
        assert f"freeze:{scope}" in [r.rule for r in outcome.verdict.reasons]
        await bench.house.db.write(lambda tx, s=scope: standing.thaw(tx, s))
    assert isinstance(await bench.do(bench.tool("look_up")), Done)


async def test_a_clearance_does_not_survive_a_freeze_that_was_noticed(bench: Bench) -> None:
    admission = await bench.house.checkpoint.admit(bench.tool("look_up"))
    assert isinstance(admission, Cleared)
    bench.house.checkpoint.watch.noticed = await bench.house.db.read(standing.get)
    assert bench.house.checkpoint.is_current(admission)
    await bench.house.db.write(lambda tx: standing.freeze(tx, "fleet", "test"))
    bench.house.checkpoint.watch.noticed = await bench.house.db.read(standing.get)
    assert not bench.house.checkpoint.is_current(admission)
    receipt = await bench.house.tools.use(admission)
    assert receipt.status == "not_attempted"
    await bench.house.checkpoint.settle(admission, receipt)
    assert await bench.budgets() | {"held": 0, "charged": 0} == await bench.budgets()


async def test_the_same_key_is_answered_with_the_first_outcome(bench: Bench) -> None:
    first = await bench.done(bench.tool("pay", idempotency_key="k"))
    again = await bench.done(bench.tool("pay", idempotency_key="k"))
    assert again.action.id == first.action.id
    assert again.receipt.result == first.receipt.result == b'{"ok":true}'
    assert len(bench.effects) == 1
    with pytest.raises(Conflict, match="other arguments"):
        await bench.do(bench.tool("pay", n=2, idempotency_key="k"))


async def test_two_at_once_under_one_key_happen_once(bench: Bench) -> None:
    outcomes = await asyncio.gather(
        *(bench.do(bench.tool("pay", idempotency_key="k")) for _ in range(8))
    )
    assert len(bench.effects) == 1
    assert sorted({type(o).__name__ for o in outcomes}) in (["Done"], ["Done", "InDoubt"])


async def test_a_write_repeated_at_once_without_a_key_is_answered_as_before(bench: Bench) -> None:
    first = await bench.done(bench.tool("pay"))
    again = await bench.done(bench.tool("pay"))
    assert again.action.id == first.action.id
    assert len(bench.effects) == 1
    reads = [await bench.done(bench.tool("look_up")) for _ in range(2)]
    assert reads[0].action.id != reads[1].action.id, "a read may be repeated"


async def test_an_answer_is_kept_where_the_same_call_is_answered_with_it(bench: Bench) -> None:
    kept = [
        await bench.done(bench.tool("pay")),
        await bench.done(bench.tool("look_up", idempotency_key="k")),
    ]
    once = await bench.done(bench.tool("look_up"))
    seals = bench.house.checkpoint.seals
    assert [await seals.find_answer(one.action) is not None for one in kept] == [True, True]
    assert await seals.find_answer(once.action) is None, "a read is made again"


async def test_a_write_repeated_while_it_is_open_is_a_conflict(bench: Bench) -> None:
    admission = await bench.house.checkpoint.admit(bench.tool("pay"))
    assert isinstance(admission, Cleared)
    with pytest.raises(Conflict, match="still under way"):
        await bench.do(bench.tool("pay"))


async def test_an_effect_that_raises_has_failed_and_one_that_times_out_is_in_doubt(
    bench: Bench,
) -> None:
    async def breaks(cleared: Cleared) -> Receipt:
        raise ValueError("the tool broke")

    async def hangs(cleared: Cleared) -> Receipt:
        raise TimeoutError

    broke = await bench.house.checkpoint.carry_out(bench.tool("pay", n=1), breaks)
    assert isinstance(broke, Done)
    assert broke.receipt.status == "failed"
    unknown = await bench.house.checkpoint.carry_out(bench.tool("pay", n=2), hangs)
    assert isinstance(unknown, InDoubt)
    assert (await bench.budgets())["held"] == 3_000_000, "money stays held while nobody knows"


async def test_an_effect_is_settled_once(bench: Bench) -> None:
    admission = await bench.house.checkpoint.admit(bench.tool("pay"))
    assert isinstance(admission, Cleared)
    receipt = Receipt(status="done", result=b"{}")
    await bench.house.checkpoint.settle(admission, receipt)
    with pytest.raises(Conflict, match="settled before"):
        await bench.house.checkpoint.settle(admission, receipt)


async def test_labels_only_grow_and_are_there_before_the_answer(bench: Bench) -> None:
    async def labels() -> set[str]:
        row = await bench.house.db.read(lambda tx: runs.find(tx, bench.run.id))
        assert row is not None
        return set(row["labels"].split())

    assert await labels() == set()
    admission = await bench.house.checkpoint.admit(bench.model("write to jo@example.com"))
    assert isinstance(admission, Cleared)
    assert await labels() == {"agent", "pii"}, "committed before the first byte is released"
    await bench.done(bench.tool("look_up"))
    assert await labels() == {"agent", "pii", "external"}, "a lookup's result is not trusted"
    await bench.done(bench.tool("pay"))
    assert await labels() == {"agent", "pii", "external", "internal"}


async def test_a_bill_above_the_bound_is_charged_in_full_with_its_cause(bench: Bench) -> None:
    admission = await bench.house.checkpoint.admit(bench.model())
    assert isinstance(admission, Cleared)
    usage = Usage(input=10, output=9_000)
    receipt = Receipt(status="done", result=b"", usage=usage, usage_source="reported")
    done = await bench.house.checkpoint.settle(admission, receipt)
    cost = 10 * 150 + 9_000 * 600
    assert done.overrun_nanousd == cost - admission.bound.nanousd
    assert (await bench.budgets())["charged"] == cost
    found = await bench.house.db.read(
        lambda tx: tx.row('select body from leaves where data like \'%"kind":"overrun"%\'')
    )
    assert found is not None
    assert "billed above its bound" in found["body"]


async def test_an_estimate_never_passes_its_bound(bench: Bench) -> None:
    admission = await bench.house.checkpoint.admit(bench.model())
    assert isinstance(admission, Cleared)
    usage = Usage(input=10**6, output=10**6)
    receipt = Receipt(status="failed", result=b"", usage=usage, usage_source="estimated")
    done = await bench.house.checkpoint.settle(admission, receipt)
    assert done.overrun_nanousd == 0
    assert (await bench.budgets())["charged"] == admission.bound.nanousd


async def test_after_the_end_of_a_run_its_credential_is_unknown(bench: Bench) -> None:
    await bench.house.services.runs.end(
        OWNER, bench.run.id, RunOutcome(state="succeeded", because="done")
    )
    with pytest.raises(Unidentified):
        await bench.do(bench.tool("look_up"))


async def test_an_expired_credential_is_unknown_and_a_used_one_is_renewed(bench: Bench) -> None:
    async def until() -> int:
        row = await bench.house.db.read(lambda tx: runs.find(tx, bench.run.id))
        assert row is not None
        return int(row["credential_until"])

    async def set_until(seconds: int) -> None:
        at = bench.house.clock.micros() + seconds * 1_000_000
        await bench.house.db.write(
            lambda tx: tx.execute("update runs set credential_until = :at", {"at": at})
        )

    await set_until(60)
    before = await until()
    await bench.done(bench.tool("look_up", n=1))
    assert await until() > before, "past half its life, a used credential lives on"
    await set_until(-1)
    with pytest.raises(Unidentified, match="expired"):
        await bench.do(bench.tool("look_up", n=2))


async def test_a_new_incarnation_voids_every_credential(bench: Bench) -> None:
    await bench.done(bench.tool("look_up"))
    await bench.house.db.write(lambda tx: standing.new_incarnation(tx, "inc_2"))
    with pytest.raises(Unidentified):
        await bench.do(bench.tool("look_up"))


async def test_a_run_keeps_the_revision_it_started_with(bench: Bench) -> None:
    fleet: dict[str, Any] = dict(files())
    fleet["agents/clerk.yaml"] = fleet["agents/clerk.yaml"].replace(
        b"tools: [look_up, file_note, pay, wipe, escalate]", b"tools: [look_up]"
    )
    await bench.house.services.changes.apply(OWNER, fleet)
    assert isinstance(await bench.do(bench.tool("pay")), Done), "the old run has its old grants"
    new = await bench.house.services.runs.start(OWNER, "clerk", {}, kind="external")
    outcome = await bench.do(bench.tool("pay", credential=new.credential))
    assert isinstance(outcome, Refused), "a new run has the new ones"
