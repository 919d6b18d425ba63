"""What people decide about, as pages: cards of approvals and suggestions, and plans."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.checkpoint import plans
from quarterdeck.domain.actions import Done, Held, Outcome
from quarterdeck.domain.plans import Step
from quarterdeck.services.runs import StartedRun
from quarterdeck.store import standing
from tests.checkpoint.test_approvals import suggesting
from tests.console.stage import OWNER, Stage, hidden, said, silent, stage, text_of, use

HOSTILE = "</dd><script>alert(1)</script> \u202egnp.exe ann@example.com"


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Stage]:
    """A signed-in browser before the small fleet."""
    async with stage(tmp_path) as ready:
        await ready.sign_in()
        yield ready


@pytest.fixture
async def shy(tmp_path: Path) -> AsyncIterator[Stage]:
    """The same before a fleet whose clerk only suggests."""
    async with stage(tmp_path) as ready:
        await ready.house.services.changes.apply(OWNER, suggesting())
        await ready.sign_in()
        yield ready


async def held(on: Stage, text: str = "all of it") -> tuple[StartedRun, str]:
    """A run with a call that waits, and the approval it waits for."""
    run = await on.start({"text": "Wipe it."})
    outcome = await on.act(use(run, "wipe", {"n": 1, "text": text}), silent)
    assert isinstance(outcome, Held)
    return run, str(outcome.approval)


async def wipe(on: Stage, run: StartedRun) -> Outcome:
    """The same call once more."""
    return await on.act(use(run, "wipe", {"n": 1, "text": "all of it"}), said({"wiped": 1}))


async def test_what_waits_is_listed_counted_and_leads_to_its_card(on: Stage) -> None:
    assert "Nothing waits for you." in text_of(await on.read("/console/approvals"))
    run, approval = await held(on)
    fleet = await on.read("/console/")
    assert "1 call to approve or deny" in text_of(fleet)
    assert f'href="/console/approvals/{approval}"' in fleet
    listed = await on.read("/console/approvals")
    assert f'href="/console/approvals/{approval}"' in listed
    assert "wipe (privileged)" in text_of(listed)
    assert "people can make up for it" in text_of(listed)
    page = await on.read(f"/console/runs/{run.id}")
    assert f'href="/console/approvals/{approval}"' in page, "the timeline leads there"


async def test_a_card_says_what_would_happen_and_what_agents_wrote_is_inert(on: Stage) -> None:
    _, approval = await held(on, HOSTILE)
    page = await on.read(f"/console/approvals/{approval}")
    shown = text_of(page)
    assert "clerk asks to make this call: wipe (privileged)" in shown
    assert "effect:privileged" in shown
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "ann@example.com" not in page
    assert "Effect privileged" in shown
    assert "Can be undone not by a tool" in shown


async def test_an_approved_call_is_made_once_and_its_pages_lead_to_each_other(on: Stage) -> None:
    run, approval = await held(on)
    path = f"/console/approvals/{approval}"
    page = await on.read(path)
    fields = {name: hidden(page, name) for name in ("form_token", "digest")}
    answered = await on.post(path, **fields, answer="approve", because="checked")
    assert (answered.status_code, answered.headers["location"]) == (303, path)
    shown = text_of(await on.read(path))
    assert "local:ann: checked" in shown
    assert "Approve this one call" not in shown
    done = await wipe(on, run)
    assert isinstance(done, Done)
    assert f'href="/console/actions/{done.action.id}"' in await on.read(path)
    action = await on.read(f"/console/actions/{done.action.id}")
    assert f'href="{path}"' in action
    assert approval in await on.read("/console/approvals?show=all")


async def test_the_second_of_two_people_sees_what_the_first_has_done(on: Stage) -> None:
    _, approval = await held(on)
    path = f"/console/approvals/{approval}"
    page = await on.read(path)
    fields = {name: hidden(page, name) for name in ("form_token", "digest")}
    await on.post(path, **fields, answer="deny", because="wrong account")
    second = await on.post(path, **fields, answer="approve")
    assert second.status_code == 409
    shown = text_of(second.text)
    assert "`local:ann` has denied" in shown
    assert "wrong account" in shown
    assert "Approve this one call" not in shown


async def test_an_answer_without_the_page_or_about_another_call_is_refused(on: Stage) -> None:
    _, approval = await held(on)
    path = f"/console/approvals/{approval}"
    page = await on.read(path)
    fields = {name: hidden(page, name) for name in ("form_token", "digest")}
    forged = await on.post(path, digest=fields["digest"], answer="approve")
    assert forged.status_code == 403
    other = await on.post(path, form_token=fields["form_token"], digest="0" * 64, answer="approve")
    assert other.status_code == 409
    assert "digests differ" in text_of(other.text)
    nothing = await on.post(path, **fields, answer="perhaps")
    assert nothing.status_code == 400
    shown = await on.house.services.approvals.show(OWNER, approval)
    assert shown["state"] == "waiting"


async def test_the_exact_arguments_are_shown_when_asked_for_and_not_kept_on_the_page(
    on: Stage,
) -> None:
    _, approval = await held(on, "ann@example.com")
    path = f"/console/approvals/{approval}"
    token = hidden(await on.read(path), "form_token")
    revealed = await on.post(f"{path}/reveal", form_token=token)
    assert "ann@example.com" in revealed.text
    assert "the ledger says that you looked" in text_of(revealed.text)
    assert "ann@example.com" not in await on.read(path)


async def test_a_suggestion_is_carried_out_by_a_person_and_both_sides_say_so(shy: Stage) -> None:
    run = await shy.start({"text": "Pay."})
    made = await shy.act(use(run, "pay", {"n": 3}), silent)
    path = f"/console/suggestions/{made.action.id}"
    assert "1 suggestion to look at" in text_of(await shy.read("/console/"))
    assert path in await shy.read("/console/suggestions")
    page = await shy.read(path)
    assert "clerk would make this call: pay (write)" in text_of(page)
    assert "costs 0.003 USD" in text_of(page)
    token = hidden(page, "form_token")
    carried = await shy.post(path, form_token=token, answer="carry-out")
    assert (carried.status_code, carried.headers["location"]) == (303, path)
    shown = await shy.house.services.suggestions.show(OWNER, made.action.id)
    after = await shy.read(path)
    assert f'href="/console/actions/{shown["carried_action"]}"' in after
    assert "Carry it out" not in text_of(after)
    action = await shy.read(f"/console/actions/{shown['carried_action']}")
    assert f'href="{path}"' in action
    assert "Started by local:ann" in text_of(
        await shy.read(f"/console/runs/{shown['carried_run']}")
    )
    again = await shy.post(path, form_token=token, answer="dismiss")
    assert again.status_code == 409
    assert "`local:ann` has carried out" in text_of(again.text)


async def test_what_cannot_be_carried_out_says_why_and_stays(shy: Stage) -> None:
    run = await shy.start({"text": "Pay."})
    made = await shy.act(use(run, "pay", {"n": 3}), silent)
    path = f"/console/suggestions/{made.action.id}"
    await shy.house.db.write(lambda tx: standing.freeze(tx, "tool:pay", "test"))
    token = hidden(await shy.read(path), "form_token")
    answer = await shy.post(path, form_token=token, answer="carry-out")
    assert "freeze:tool:pay" in text_of(answer.text)
    assert "Carry it out" in text_of(answer.text)
    dismissed = await shy.post(path, form_token=token, answer="dismiss", because="too late")
    assert dismissed.status_code == 303
    assert "local:ann: too late" in text_of(await shy.read(path))


async def test_a_plan_shows_each_call_and_what_became_of_it(on: Stage) -> None:
    run = await on.start({"text": "Tidy up."})
    steps = [
        Step(number=n, target=target, arguments=b'{"n":%d}' % n, idempotency_key=None)
        for n, target in enumerate(("pay", "wipe", "file_note"), 1)
    ]
    checkpoint = on.house.checkpoint
    judged = await plans.judge(checkpoint, run.credential, steps)
    path = f"/console/plans/{judged.id}"
    assert path in await on.read("/console/plans")
    await plans.carry_out(checkpoint, run.credential, judged.id, said({"paid": 1}))
    page = await on.read(path)
    shown = text_of(page)
    assert "Plan of 3 calls valid" in shown
    assert "1. pay allow done" in shown
    assert "2. wipe ask held" in shown
    assert "3. file_note allow not attempted" in shown
    [asked] = await on.house.services.approvals.list_page(OWNER)
    assert f'href="/console/approvals/{asked["id"]}"' in page
    assert path in await on.read(f"/console/approvals/{asked['id']}")


@pytest.mark.parametrize("path", ["approvals/apr_x", "suggestions/act_x", "plans/pln_x"])
async def test_what_is_not_there_is_not_found(on: Stage, path: str) -> None:
    assert (await on.browser.get(f"/console/{path}")).status_code == 404
