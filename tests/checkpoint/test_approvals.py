"""Approvals and suggestions: what is held, what an answer is good for, and that it is good once."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.checkpoint.sealing import Seals
from quarterdeck.domain.actions import Cleared, Done, Held, Receipt, Refused, Suggested
from quarterdeck.domain.errors import Conflict, Forbidden, NotFound, Overtaken
from quarterdeck.domain.people import Caller
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.services.suggestions import Suggestions
from quarterdeck.store import doubts, runs, standing
from tests.checkpoint.conftest import OWNER, Bench, opened
from tests.fleets import files

ANN = Caller(id="local:ann", role="owner")


def suggesting() -> dict[str, bytes]:
    """The small fleet, whose clerk only suggests its writes."""
    fleet = dict(files())
    agent = fleet["agents/clerk.yaml"].replace(b"autonomy: L2", b"autonomy: L1")
    return fleet | {"agents/clerk.yaml": agent}


async def held(bench: Bench, n: int = 1, **more: Any) -> Held:
    """A call that waits for a person."""
    outcome = await bench.do(bench.tool("wipe", n, **more))
    assert isinstance(outcome, Held), outcome
    return outcome


async def answer(bench: Bench, approval: str | None, said: Any = "approve", **more: Any) -> Any:
    """Answer what is shown."""
    assert approval is not None
    shown = await bench.house.services.approvals.show(ANN, approval)
    digest = more.pop("digest", shown["digest"])
    return await bench.house.services.approvals.answer(
        more.pop("caller", ANN), approval, said, digest=digest, **more
    )


async def kinds(bench: Bench, subject: str) -> list[str]:
    """What the ledger says about something, in order."""
    rows = await bench.house.db.read(
        lambda tx: list(tx.rows("select data from leaves order by writer, number"))
    )
    import orjson

    leaves = [orjson.loads(row["data"]) for row in rows]
    return [leaf["kind"] for leaf in leaves if leaf["subject"] == subject]


async def test_a_held_call_waits_under_one_card_however_often_it_is_proposed(bench: Bench) -> None:
    first = await held(bench)
    again = await held(bench)
    assert first.approval is not None
    assert first.approval.startswith("apr_")
    assert (again.approval, again.action.id) == (first.approval, first.action.id)
    other = await held(bench, 2)
    assert other.approval != first.approval, "other arguments are another question"
    waiting = await bench.house.services.approvals.list_page(ANN, states=("waiting",))
    assert [a["id"] for a in waiting] == [other.approval, first.approval]
    assert await kinds(bench, first.approval) == ["approval_asked"]
    assert bench.effects == []


async def test_an_approved_call_is_found_by_itself_and_done_once(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval, because="go on")
    done = await bench.done(bench.tool("wipe", idempotency_key="a"))
    row = await bench.row(done.action.id)
    assert (row["state"], row["answer"]) == ("done", "ask"), (
        "the rules asked, and a person answered"
    )
    shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
    assert (shown["state"], shown["spent_by"]) == ("spent", done.action.id)
    assert await kinds(bench, str(waiting.approval)) == [
        "approval_asked",
        "approval_granted",
        "approval_spent",
    ]
    another = await held(bench, idempotency_key="b")
    assert another.approval != waiting.approval, "it was good once"
    assert bench.effects == [done.action.id]


async def test_an_approval_that_is_named_is_good_for_its_own_call_only(bench: Bench) -> None:
    waiting = await held(bench)
    assert (await held(bench, approval=waiting.approval)).approval == waiting.approval
    await answer(bench, waiting.approval)
    for named, proposal in (
        ("approval:other", bench.tool("wipe", 2, approval=waiting.approval)),
        ("approval:unknown", bench.tool("wipe", 3, approval="apr_" + "0" * 26)),
        ("approval:unknown", bench.tool("wipe", 3, approval="\0 nonsense" * 1000)),
    ):
        refused = await bench.do(proposal)
        assert isinstance(refused, Refused)
        assert [r.rule for r in refused.verdict.reasons] == [named]
    await bench.done(bench.tool("wipe", approval=waiting.approval, idempotency_key="a"))
    spent = await bench.do(bench.tool("wipe", approval=waiting.approval, idempotency_key="b"))
    assert isinstance(spent, Refused)
    assert [r.rule for r in spent.verdict.reasons] == ["approval:spent"]


async def test_another_run_cannot_use_it(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    other = await bench.house.services.runs.start(OWNER, "clerk", {}, kind="external")
    named = bench.tool("wipe", credential=other.credential, approval=waiting.approval)
    refused = await bench.do(named)
    assert isinstance(refused, Refused)
    assert [r.rule for r in refused.verdict.reasons] == ["approval:unknown"]
    assert isinstance(await bench.do(bench.tool("wipe", credential=other.credential)), Held)


async def test_of_many_at_once_one_uses_it(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    proposals = [bench.tool("wipe", idempotency_key=f"k{n}") for n in range(8)]
    outcomes = await asyncio.gather(*(bench.do(p) for p in proposals))
    assert sorted(type(o).__name__ for o in outcomes) == ["Done"] + ["Held"] * 7
    assert len({o.approval for o in outcomes if isinstance(o, Held)}) == 1, "one new card for all"
    assert len(bench.effects) == 1


async def test_what_was_denied_stays_denied_for_its_run(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval, "deny", because="wrong account of ann@example.com")
    refused = await bench.do(bench.tool("wipe"))
    assert isinstance(refused, Refused)
    [reason] = refused.verdict.reasons
    assert reason.rule == "approval:denied"
    assert "local:ann" in reason.because
    assert "wrong account" in reason.because
    assert "ann@example.com" not in reason.because, "what people say is recorded redacted"


async def test_everything_else_is_asked_anew(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    await bench.house.db.write(lambda tx: standing.freeze(tx, "agent:clerk", "test"))
    refused = await bench.do(bench.tool("wipe"))
    assert isinstance(refused, Refused)
    await bench.house.db.write(lambda tx: standing.thaw(tx, "agent:clerk"))
    shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
    assert shown["state"] == "granted", "what was refused has used nothing up"
    await bench.done(bench.tool("wipe"))


async def test_what_cannot_be_paid_is_neither_asked_nor_spent(tmp_path: Path) -> None:
    fleet = dict(files(agent_cap="0.005"))
    fleet["tools/wipe.yaml"] = fleet["tools/wipe.yaml"].replace(b'cost: "0"', b'cost: "0.004"')
    async with opened(tmp_path, fleet) as bench:
        waiting = await held(bench)
        await answer(bench, waiting.approval)
        await bench.done(bench.tool("pay", 1))
        refused = await bench.do(bench.tool("wipe"))
        assert isinstance(refused, Refused)
        assert refused.verdict.reasons[-1].rule.startswith("budget:agent:clerk/")
        shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
        assert shown["state"] == "granted"
        assert isinstance(await bench.do(bench.tool("wipe", 2)), Refused), "no card for the poor"


async def test_the_answer_is_about_what_was_shown_and_the_second_person_sees_the_first(
    bench: Bench,
) -> None:
    waiting = await held(bench)
    with pytest.raises(Overtaken, match="digests differ"):
        await answer(bench, waiting.approval, digest="0" * 64)
    await answer(bench, waiting.approval)
    with pytest.raises(Conflict, match="`local:ann` has approved"):
        await answer(bench, waiting.approval, "deny", caller=OWNER)


@pytest.mark.parametrize("role", ["reviewer", "viewer", "on-call", "agent"])
async def test_only_an_owner_answers_and_sees_the_exact_arguments(bench: Bench, role: Any) -> None:
    waiting = await held(bench)
    caller = Caller(id="x", role=role)
    with pytest.raises(Forbidden):
        await answer(bench, waiting.approval, caller=caller)
    with pytest.raises(Forbidden):
        await bench.house.services.approvals.reveal(caller, str(waiting.approval))


async def test_the_exact_arguments_are_sealed_and_a_look_at_them_is_recorded(bench: Bench) -> None:
    arguments = b'{"text":"tell ann@example.com"}'
    waiting = await bench.do(bench.tool("wipe", arguments=arguments))
    assert isinstance(waiting, Held)
    approvals = bench.house.services.approvals
    shown = await approvals.show(ANN, str(waiting.approval))
    assert "ann@example.com" not in str(shown)
    exact = await approvals.reveal(ANN, str(waiting.approval))
    assert exact["arguments"] == {"text": "tell ann@example.com"}
    assert "approval_revealed" in await kinds(bench, str(waiting.approval))


async def test_somebody_of_another_team_finds_nothing(bench: Bench) -> None:
    waiting = await held(bench)
    other = Caller(id="x", role="owner", team="other")  # type: ignore[arg-type]  # a name
    with pytest.raises(NotFound):
        await answer(bench, waiting.approval, caller=other)
    assert await bench.house.services.approvals.list_page(other) == []


async def test_a_restore_voids_what_was_asked(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    unanswered = await held(bench, 2)
    await bench.house.db.write(lambda tx: standing.new_incarnation(tx, "inc_next"))
    with pytest.raises(Conflict, match="restored"):
        await answer(bench, unanswered.approval)
    shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
    assert shown["state"] == "void"


async def test_the_end_of_a_run_ends_what_it_waits_for(bench: Bench) -> None:
    waiting = await held(bench)
    ended = RunOutcome(state="succeeded", because="done without it")
    await bench.house.services.runs.end(OWNER, bench.run.id, ended)
    with pytest.raises(Conflict, match="its run has ended"):
        await answer(bench, waiting.approval)
    row = await bench.house.db.read(lambda tx: runs.find(tx, bench.run.id))
    assert row is not None
    assert row["sealing_key"] is None, "nothing can come of it: its arguments are destroyed"


async def test_past_its_deadline_a_run_waits_for_nobody(bench: Bench) -> None:
    waiting = await held(bench)
    await bench.house.db.write(
        lambda tx: tx.execute(
            "update runs set deadline = 1 where id = :id",
            {"id": bench.run.id},
        )
    )
    with pytest.raises(Conflict, match="waits for nobody"):
        await answer(bench, waiting.approval)


async def test_asking_again_keeps_the_credential_alive(bench: Bench) -> None:
    await held(bench)
    soon = bench.house.clock.micros() + 60_000_000
    await bench.house.db.write(
        lambda tx: tx.execute(
            "update runs set credential_until = :soon where id = :id",
            {"id": bench.run.id, "soon": soon},
        )
    )
    await held(bench)
    row = await bench.house.db.read(lambda tx: runs.find(tx, bench.run.id))
    assert row is not None
    assert row["credential_until"] > soon


async def test_where_a_call_would_go_is_recorded_redacted(tmp_path: Path) -> None:
    fleet = dict(files())
    fleet["tools/wipe.yaml"] += b"destinations: [{argument: text, allow: ['*@example.com']}]\n"
    async with opened(tmp_path, fleet) as bench:
        arguments = b'{"text":"ann@example.com"}'
        waiting = await bench.do(bench.tool("wipe", arguments=arguments))
        assert isinstance(waiting, Held), waiting
        shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
        assert list(shown["consequences"]["destinations"]) == ["text"]
        assert "ann@" not in str(shown)


async def test_what_only_an_agents_own_process_can_do_is_not_carried_out_here(
    tmp_path: Path,
) -> None:
    fleet = suggesting()
    contract = fleet["tools/pay.yaml"].decode()
    lines = [line for line in contract.splitlines() if not line.startswith("python:")]
    fleet["tools/pay.yaml"] = "\n".join(lines).encode()
    async with opened(tmp_path, fleet) as bench:
        made = await bench.do(bench.tool("pay"))
        assert isinstance(made, Suggested)
        with pytest.raises(Conflict, match="no back end here"):
            await bench.house.services.suggestions.carry_out(ANN, made.action.id)
        await bench.house.services.suggestions.dismiss(ANN, made.action.id)


async def test_waiting_for_a_person_does_not_cost_the_run_its_credential(bench: Bench) -> None:
    waiting = await held(bench)
    await bench.house.db.write(
        lambda tx: tx.execute(
            "update runs set credential_until = 1 where id = :id", {"id": bench.run.id}
        )
    )
    await answer(bench, waiting.approval)
    await bench.done(bench.tool("wipe"))


async def test_a_contract_that_asks_for_confirmation_is_held(tmp_path: Path) -> None:
    fleet = dict(files())
    fleet["tools/pay.yaml"] += b"confirm: true\n"
    async with opened(tmp_path, fleet) as bench:
        outcome = await bench.do(bench.tool("pay"))
        assert isinstance(outcome, Held)
        assert [r.rule for r in outcome.verdict.reasons] == ["confirm"]
        await answer(bench, outcome.approval)
        await bench.done(bench.tool("pay"))


async def test_an_agent_that_only_suggests_does_not_act_even_where_a_person_would_be_asked(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        assert isinstance(await bench.do(bench.tool("wipe")), Suggested)
        assert await bench.house.services.approvals.list_page(ANN) == []


async def test_a_suggestion_says_what_would_happen_and_is_made_once(tmp_path: Path) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        first = await bench.do(bench.tool("pay"))
        again = await bench.do(bench.tool("pay", idempotency_key="k"))
        assert isinstance(first, Suggested)
        assert isinstance(again, Suggested)
        assert again.action.id == first.action.id, "one suggestion is enough"
        [found] = await bench.house.services.suggestions.list_page(ANN, states=("open",))
        assert found["id"] == first.action.id
        assert found["consequences"]["effect"] == "write"
        assert found["consequences"]["cost_nanousd"] == 3_000_000
        assert "`pay` (write)" in found["consequences"]["summary"]


async def test_a_person_carries_a_suggestion_out_once_and_both_sides_say_so(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        made = await bench.do(bench.tool("pay", 7))
        ended = RunOutcome(state="succeeded", because="left it to people")
        await bench.house.services.runs.end(OWNER, bench.run.id, ended)
        suggestions = bench.house.services.suggestions
        assert (await suggestions.reveal(ANN, made.action.id))["arguments"] == {"n": 7}
        carried = await suggestions.carry_out(ANN, made.action.id)
        assert (carried.state, carried.suggestion) == ("done", made.action.id)
        shown = await suggestions.show(ANN, made.action.id)
        assert (shown["state"], shown["decided_by"]) == ("carried_out", "local:ann")
        assert (shown["carried_action"], shown["carried_run"]) == (carried.action, carried.run)
        run = await bench.house.services.runs.show(ANN, carried.run)
        assert (run["started_by"], run["kind"], run["state"]) == (
            "local:ann",
            "suggestion",
            "succeeded",
        )
        assert run["revision"] == bench.run.revision
        [row] = await bench.house.services.actions.list_of_run(ANN, carried.run, after="", rows=9)
        assert (row["state"], row["mark"], row["cost_nanousd"]) == ("done", "enforced", 3_000_000)
        assert await kinds(bench, made.action.id) == [
            "suggested",
            "suggestion_revealed",
            "suggestion_carried_out",
        ]
        with pytest.raises(Conflict, match="`local:ann` has carried out"):
            await suggestions.carry_out(OWNER, made.action.id)
        with pytest.raises(Conflict):
            await suggestions.dismiss(OWNER, made.action.id)


async def test_two_people_at_once_carry_it_out_once(tmp_path: Path) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        made = await bench.do(bench.tool("pay"))
        suggestions = bench.house.services.suggestions
        carried = await asyncio.gather(
            *(suggestions.carry_out(ANN, made.action.id) for _ in range(5)), return_exceptions=True
        )
        states = sorted(getattr(c, "state", "conflict") for c in carried)
        assert states.count("done") == 1
        assert set(states) <= {"done", "refused", "conflict"}
        rows = await bench.house.db.read(
            lambda tx: list(tx.rows("select * from actions where state = 'done'"))
        )
        assert len(rows) == 1


async def test_a_suggestion_is_checked_anew_in_all_but_autonomy(tmp_path: Path) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        made = await bench.do(bench.tool("pay"))
        suggestions = bench.house.services.suggestions
        await bench.house.db.write(lambda tx: standing.freeze(tx, "agent:clerk", "test"))
        refused = await suggestions.carry_out(ANN, made.action.id)
        assert refused.state == "refused"
        assert "freeze:agent:clerk" in refused.because
        await bench.house.db.write(lambda tx: standing.thaw(tx, "agent:clerk"))
        assert (await suggestions.show(ANN, made.action.id))["state"] == "open"
        assert (await suggestions.carry_out(ANN, made.action.id)).state == "done"


async def test_a_privileged_suggestion_is_answered_by_whoever_carries_it_out(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        made = await bench.do(bench.tool("wipe"))
        assert (
            await bench.house.services.suggestions.carry_out(ANN, made.action.id)
        ).state == "done"


async def test_no_run_of_an_agent_can_claim_to_carry_out_a_suggestion(tmp_path: Path) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        made = await bench.do(bench.tool("pay"))
        refused = await bench.do(bench.tool("pay", suggestion=made.action.id))
        assert isinstance(refused, Refused)
        assert [r.rule for r in refused.verdict.reasons] == ["suggestion:other"]
        assert bench.effects == []


async def test_a_dismissed_suggestion_is_over_and_its_arguments_are_destroyed(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        made = await bench.do(bench.tool("pay"))
        ended = RunOutcome(state="succeeded", because="")
        await bench.house.services.runs.end(OWNER, bench.run.id, ended)
        suggestions = bench.house.services.suggestions
        await suggestions.dismiss(ANN, made.action.id, because="the order was cancelled")
        with pytest.raises(Conflict, match="dismissed"):
            await suggestions.carry_out(ANN, made.action.id)
        fresh = Seals(bench.house.db, bench.house.keyring)
        assert await fresh.find_arguments(made.action) is None


async def test_a_restore_voids_suggestions(tmp_path: Path) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        made = await bench.do(bench.tool("pay"))
        await bench.house.db.write(lambda tx: standing.new_incarnation(tx, "inc_next"))
        with pytest.raises(Conflict, match="before a restore"):
            await bench.house.services.suggestions.carry_out(ANN, made.action.id)


async def listed(bench: Bench) -> list[str]:
    """The ids of what the open list holds, and that what is counted agrees with it."""
    services = bench.house.services
    found = [s["id"] for s in await services.suggestions.list_page(ANN, states=("open",))]
    fleet = await services.overview.fleet(ANN)
    assert fleet.waiting.suggestions == len(found), "the first page counts what the list shows"
    return found


def without(fleet: dict[str, bytes], tool: str) -> dict[str, bytes]:
    """The same fleet, in which nobody is granted a tool any more."""
    agent = fleet["agents/clerk.yaml"].replace(f"{tool}, ".encode(), b"")
    return fleet | {"agents/clerk.yaml": agent}


async def test_what_can_be_carried_out_no_more_leaves_the_open_list(tmp_path: Path) -> None:
    """Goal: a list of what people can do; of anything else its card says why they cannot."""
    fleet = suggesting()
    async with opened(tmp_path, fleet) as bench:
        made = await bench.do(bench.tool("pay"))
        kept = await bench.do(bench.tool("file_note"))
        service, changes = bench.house.services.suggestions, bench.house.services.changes
        assert await listed(bench) == [kept.action.id, made.action.id]
        await changes.apply(OWNER, without(fleet, "pay"))
        assert await listed(bench) == [kept.action.id]
        shown = await service.show(ANN, made.action.id)
        assert (shown["state"], shown["void_because"]) == (
            "void",
            "`clerk` is not granted `pay` any more",
        )
        assert made.action.id in [s["id"] for s in await service.list_page(ANN)], (
            "in the whole list"
        )
        with pytest.raises(Conflict, match="not granted `pay` any more"):
            await service.carry_out(ANN, made.action.id)
        await changes.apply(OWNER, fleet)
        assert await listed(bench) == [kept.action.id, made.action.id], "granted again, open again"
        await bench.house.db.write(lambda tx: standing.new_incarnation(tx, "inc_next"))
        assert await listed(bench) == []
        shown = await service.show(ANN, kept.action.id)
        assert shown["state"] == "void"
        assert "before a restore" in shown["void_because"]


async def test_an_agent_that_left_the_fleet_makes_its_suggestions_void(tmp_path: Path) -> None:
    fleet = suggesting()
    async with opened(tmp_path, fleet) as bench:
        made = await bench.do(bench.tool("pay"))
        other = fleet["agents/clerk.yaml"].replace(b"name: clerk", b"name: other")
        left = {path: body for path, body in fleet.items() if path != "agents/clerk.yaml"}
        await bench.house.services.changes.apply(OWNER, left | {"agents/other.yaml": other})
        assert await listed(bench) == []
        service = bench.house.services.suggestions
        shown = await service.show(ANN, made.action.id)
        assert shown["void_because"] == "the fleet has no agent `clerk` any more"
        await service.dismiss(ANN, made.action.id, because="it left")
        assert (await service.show(ANN, made.action.id))["state"] == "dismissed"


async def test_a_page_of_what_is_open_is_not_filled_with_what_is_void(tmp_path: Path) -> None:
    fleet = suggesting()
    async with opened(tmp_path, fleet) as bench:
        made = [await bench.do(bench.tool("file_note", n)) for n in range(2)]
        for n in range(5):
            await bench.do(bench.tool("pay", n))
        await bench.house.services.changes.apply(OWNER, without(fleet, "pay"))
        service = bench.house.services.suggestions
        page = await service.list_page(ANN, states=("open",), rows=2)
        assert [s["id"] for s in page] == [m.action.id for m in reversed(made)]


async def test_what_waits_for_nobody_after_a_restore_leaves_the_list(bench: Bench) -> None:
    waiting = await held(bench)
    service = bench.house.services.approvals
    await bench.house.db.write(lambda tx: standing.new_incarnation(tx, "inc_next"))
    assert await service.list_page(ANN, states=("waiting",)) == []
    [asked] = await service.list_page(ANN)
    assert (asked["id"], asked["state"]) == (waiting.approval, "void")


async def test_a_clearance_made_with_an_approval_names_it(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    admission = await bench.house.checkpoint.admit(bench.tool("wipe"))
    assert isinstance(admission, Cleared)
    assert admission.approval == waiting.approval
    receipt = Receipt(status="done", result=b"{}")
    assert isinstance(await bench.house.checkpoint.settle(admission, receipt), Done)


class Down:
    """An effect whose server is down for so many calls: provably nothing was begun."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.begun: list[str] = []

    async def __call__(self, cleared: Cleared) -> Receipt:
        if self.calls > 0:
            self.calls -= 1
            return Receipt(status="not_attempted", result=b"", detail={"error": "it is down"})
        self.begun.append(cleared.action.id)
        return Receipt(status="done", result=b"{}")


async def test_what_was_provably_not_attempted_uses_no_approval_up(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    effect = Down(calls=2)
    for _ in range(3):
        outcome = await bench.house.checkpoint.carry_out(bench.tool("wipe"), effect)
        assert isinstance(outcome, Done)
    assert len(effect.begun) == 1
    shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
    assert (shown["state"], shown["spent_by"]) == ("spent", effect.begun[0])
    assert await kinds(bench, str(waiting.approval)) == [
        "approval_asked",
        "approval_granted",
        *("approval_spent", "approval_returned") * 2,
        "approval_spent",
    ]
    assert isinstance(await bench.do(bench.tool("wipe", idempotency_key="b")), Held)


async def test_it_is_given_back_for_the_same_call_only(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    await bench.house.checkpoint.carry_out(bench.tool("wipe"), Down(calls=1))
    assert isinstance(await bench.do(bench.tool("wipe", 2)), Held)
    named = await bench.do(bench.tool("wipe", 3, approval=waiting.approval))
    assert isinstance(named, Refused)
    assert bench.effects == []


@pytest.mark.parametrize("status", ["done", "failed"])
async def test_what_was_begun_has_used_it_up_whatever_came_of_it(bench: Bench, status: Any) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)

    async def effect(cleared: Cleared) -> Receipt:
        return Receipt(status=status, result=b"")

    await bench.house.checkpoint.carry_out(bench.tool("wipe", idempotency_key="a"), effect)
    assert isinstance(await bench.do(bench.tool("wipe", idempotency_key="b")), Held)


async def test_the_end_of_a_run_ends_what_would_be_given_back(bench: Bench) -> None:
    waiting = await held(bench)
    await answer(bench, waiting.approval)
    cleared = await bench.house.checkpoint.admit(bench.tool("wipe"))
    assert isinstance(cleared, Cleared)
    ended = RunOutcome(state="succeeded", because="done")
    await bench.house.services.runs.end(OWNER, bench.run.id, ended)
    await bench.house.checkpoint.settle(cleared, Receipt(status="not_attempted", result=b""))
    shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
    assert shown["state"] == "lapsed"


async def test_who_was_overtaken_gives_nothing_back(tmp_path: Path) -> None:
    """Goal: two effects never come out of one approval where two processes have one action.

    Method: an idempotent call is cleared and its process believed dead; another takes it over, and
    is at it when the first says that it has begun nothing.
    """
    fleet = dict(files())
    fleet["tools/file_note.yaml"] += b"confirm: true\n"
    async with opened(tmp_path, fleet) as bench:
        waiting = await bench.do(bench.tool("file_note"))
        assert isinstance(waiting, Held)
        await answer(bench, waiting.approval)
        checkpoint = bench.house.checkpoint
        cleared = await checkpoint.admit(bench.tool("file_note"))
        assert isinstance(cleared, Cleared)
        action = cleared.action.id
        await checkpoint.doubt(action, checkpoint.process, because="test")
        assert await checkpoint.db.write(
            lambda tx: doubts.claim(tx, action, "prc_other", tries_max=3)
        )
        with pytest.raises(Conflict):
            await checkpoint.settle(cleared, Receipt(status="not_attempted", result=b""))
        assert (await bench.row(action))["state"] == "begun", "it is the other's to say"
        shown = await bench.house.services.approvals.show(ANN, str(waiting.approval))
        assert shown["state"] == "spent"


async def test_a_suggestion_that_was_provably_not_attempted_is_open_again(tmp_path: Path) -> None:
    async with opened(tmp_path, suggesting()) as bench:
        suggested = await bench.do(bench.tool("pay"))
        assert isinstance(suggested, Suggested)
        effect = Down(calls=1)
        service = carried_by(bench, effect)
        first = await service.carry_out(ANN, suggested.action.id)
        assert first.state == "not_attempted"
        shown = await service.show(ANN, suggested.action.id)
        assert (shown["state"], shown["carried_run"], shown["decided_by"]) == ("open", None, None)
        second = await service.carry_out(ANN, suggested.action.id)
        assert second.state == "done"
        assert effect.begun == [second.action]
        with pytest.raises(Conflict):
            await service.carry_out(ANN, suggested.action.id)
        assert await kinds(bench, suggested.action.id) == [
            "suggested",
            "suggestion_carried_out",
            "suggestion_reopened",
            "suggestion_carried_out",
        ]


def carried_by(bench: Bench, effect: Down) -> Suggestions:
    """The suggestions of a bench, carried out by this effect."""
    checkpoint = bench.house.checkpoint
    return replace(
        bench.house.services.suggestions, carry=lambda p: checkpoint.carry_out(p, effect)
    )
