"""Approvals, suggestions and plans on either database, with several processes where possible."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from quarterdeck.checkpoint import plans
from quarterdeck.domain.actions import Cleared, Done, Held, Outcome, Receipt
from quarterdeck.domain.people import Caller
from quarterdeck.domain.plans import Step
from quarterdeck.services.approvals import Approvals
from quarterdeck.services.plans import Plans
from quarterdeck.store import approvals, suggestions
from tests.store.places import DICE, Desk, Place, _effect

ANN = Caller(id="local:ann", role="owner")


def desk_of_people(desk: Desk) -> Approvals:
    """The use cases of approvals over this desk."""
    seals = desk.checkpoint.seals
    return Approvals(db=desk.db, keyring=desk.keyring, seals=seals, dice=DICE)


async def granted(desk: Desk) -> str:
    """A call of `wipe` that waits, and is allowed."""
    outcome = await desk.act("wipe")
    assert isinstance(outcome, Held)
    assert outcome.approval is not None
    people = desk_of_people(desk)
    shown = await people.show(ANN, outcome.approval)
    await people.answer(ANN, outcome.approval, "approve", digest=shown["digest"])
    return outcome.approval


async def do(desk: Desk, run: Desk, key: str) -> Outcome:
    """The same call by another process, under a key of its own."""
    proposal = replace(run.proposal("wipe", 1), idempotency_key=key)
    return await desk.checkpoint.carry_out(proposal, _effect)


async def test_an_approval_is_asked_answered_and_spent(desk: Desk) -> None:
    approval = await granted(desk)
    done = await desk.act("wipe")
    assert isinstance(done, Done)
    row = await desk.db.read(lambda tx: approvals.find(tx, approval))
    assert row is not None
    assert (row["state"], row["spent_by"]) == ("spent", done.action.id)
    found = await desk.db.read(lambda tx: approvals.of_actions(tx, [row["action"], done.action.id]))
    assert {one["id"] for one in found.values()} == {approval}
    assert set(found) == {row["action"], done.action.id}


async def test_of_many_processes_one_spends_it(postgresql_place: Place) -> None:
    """Every process has its own connection and asks at the same moment."""
    first = await Desk.open(postgresql_place)
    others = [await Desk.open(postgresql_place, f"prc_{n}") for n in range(2, 6)]
    for _ in range(5):
        await first.start_run()
        approval = await granted(first)
        outcomes = await asyncio.gather(
            *(do(desk, first, f"{approval}-{n}") for n, desk in enumerate([first, *others]))
        )
        assert sum(isinstance(o, Done) for o in outcomes) == 1, outcomes
        assert all(isinstance(o, Done | Held) for o in outcomes)


async def test_of_many_processes_one_begins_it_however_often_it_is_given_back(
    postgresql_place: Place,
) -> None:
    """Goal: two effects never come out of one approval, while it comes and goes.

    Method: five processes ask for the same call as often as they can; its server is down for most
    of the calls, so that the approval is given back while others reach for it.
    """
    first = await Desk.open(postgresql_place)
    desks = [first, *[await Desk.open(postgresql_place, f"prc_{n}") for n in range(2, 6)]]
    begun: list[str] = []
    calls = 0

    async def effect(cleared: Cleared) -> Receipt:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls % 8:
            return Receipt(status="not_attempted", result=b"", detail={"error": "it is down"})
        begun.append(cleared.action.id)
        return Receipt(status="done", result=b"{}")

    async def insist(desk: Desk, key: str) -> None:
        for n in range(12):
            proposal = replace(first.proposal("wipe", 1), idempotency_key=f"{key}-{n}")
            await desk.checkpoint.carry_out(proposal, effect)

    for round_ in range(3):
        await first.start_run()
        approval = await granted(first)
        await asyncio.gather(*(insist(d, f"{approval}-{n}") for n, d in enumerate(desks)))
        assert len(begun) == round_ + 1, "one effect of one approval"
        row = await first.db.read(lambda tx, wanted=approval: approvals.find(tx, wanted))  # type: ignore[misc]
        assert row is not None
        assert (row["state"], row["spent_by"]) == ("spent", begun[-1])


async def test_of_two_people_at_once_one_answers(place: Place) -> None:
    desk = await Desk.open(place)
    outcome = await desk.act("wipe")
    assert isinstance(outcome, Held)
    approval = str(outcome.approval)
    people = desk_of_people(desk)
    digest = (await people.show(ANN, approval))["digest"]

    async def say(answer: Any) -> str:
        try:
            return str((await people.answer(ANN, approval, answer, digest=digest))["state"])
        except Exception as error:  # noqa: BLE001  the test looks at which one it is
            return type(error).__name__

    said = await asyncio.gather(say("approve"), say("deny"))
    assert "Conflict" in said
    assert {"granted", "denied"} & set(said)


async def test_what_is_open_is_counted_and_listed_in_pages(desk: Desk) -> None:
    for n in range(5):
        assert isinstance(await desk.act("wipe", n), Held)
    people = desk_of_people(desk)
    pages: list[str] = []
    before = ""
    while rows := await people.list_page(ANN, states=("waiting",), before=before, rows=2):
        pages += [row["id"] for row in rows]
        before = pages[-1]
    assert pages == sorted(pages, reverse=True)
    assert len(pages) == 5
    assert await desk.db.read(lambda tx: approvals.count_waiting(tx, "")) == 5
    assert await desk.db.read(lambda tx: approvals.count_waiting(tx, "desk")) == 5
    assert await desk.db.read(lambda tx: approvals.count_waiting(tx, "other")) == 0
    assert await desk.db.read(lambda tx: suggestions.count_open(tx, "")) == 0


async def test_a_plan_is_kept_and_carried_out(desk: Desk) -> None:
    steps = [
        Step(number=n, target="pay", arguments=b'{"n":%d}' % n, idempotency_key=None)
        for n in (1, 2, 3)
    ]
    credential = desk.started[-1].credential
    judged = await plans.judge(desk.checkpoint, credential, steps)
    assert (judged.answer, len(judged.verdicts)) == ("valid", 3)
    for _ in range(2):
        carried = await plans.carry_out(desk.checkpoint, credential, judged.id, _effect)
        assert [plans.state_of(o) for o in carried.outcomes] == ["done"] * 3
    readings = Plans(db=desk.db)
    shown = await readings.show(ANN, judged.id)
    assert [step["state"] for step in shown["steps"]] == ["done"] * 3
    assert [plan["steps"] for plan in await readings.list_page(ANN)] == [3]
    rows = await desk.db.read(lambda tx: list(tx.rows("select id from actions")))
    assert len(rows) == 3, "asked for twice, made once"


@pytest.mark.parametrize("decide", ["carry_out", "dismiss"])
async def test_a_suggestion_is_decided_about_once(desk: Desk, decide: str) -> None:
    row = {
        "action": "act_1", "run": "run_1", "agent": "clerk", "team": "desk", "revision": "r",
        "target": "pay", "call": "c", "consequences": "{}", "incarnation": "inc_1",
    }  # fmt: skip

    def write(tx: Any) -> list[bool]:
        suggestions.open(tx, row)
        if decide == "dismiss":
            return [suggestions.dismiss(tx, "act_1", by="a", because="") for _ in range(2)]
        given = {"by": "a", "run": "run_2", "action": "act_2"}
        return [suggestions.carry_out(tx, "act_1", **given) for _ in range(2)]

    assert await desk.db.write(write) == [True, False]
