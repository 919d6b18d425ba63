"""Plans: judge a list of calls without making one, then make them in order, each asked anew.

INVARIANT: a plan's calls reach an effect through `Checkpoint.carry_out` and no other way. Each has
a key of its own, so a plan that is asked for again goes on where it stopped.
"""

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec
import orjson

from quarterdeck.checkpoint import approvals, stages
from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.conclude import obstacle
from quarterdeck.checkpoint.recording import Prepared
from quarterdeck.checkpoint.stages import Ruling
from quarterdeck.checkpoint.windows import windows_of
from quarterdeck.domain.actions import (
    Action,
    Content,
    Done,
    Effect,
    Held,
    InDoubt,
    Outcome,
    Proposal,
    Refused,
    Suggested,
)
from quarterdeck.domain.budgets import Bound, holds_of
from quarterdeck.domain.errors import Conflict, Invalid, LimitExceeded, NotFound
from quarterdeck.domain.ids import ActionId, PlanId
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import PLAN_STEPS_MAX, PLANS_OF_RUN_MAX, TARGET_CHARACTERS_MAX
from quarterdeck.domain.plans import PlanAnswer, Room, Step, answer_of, digest_of, key_of
from quarterdeck.domain.runs import RunIdentity
from quarterdeck.domain.tools import Tool
from quarterdeck.domain.verdicts import Verdict, deny, strictest
from quarterdeck.fleet.builtin import is_carried_out_here
from quarterdeck.store import actions, budgets, ledger, payloads, plans, runs, sealed, standing
from quarterdeck.store.database import Transaction

_NOTHING: Final = Bound(nanousd=0, tokens=0, calls=0)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what the rules say of each of its calls; nothing was made."""

    id: PlanId
    answer: PlanAnswer
    digest: str
    verdicts: tuple[Verdict, ...]


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One step, ready for the transaction."""

    step: Step
    action: Action
    ruling: Ruling
    consequences: str
    prepared: Prepared


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a plan: the outcomes of its steps up to the first that was not done."""

    id: PlanId
    steps: tuple[Step, ...]
    outcomes: tuple[Outcome, ...]


async def judge(checkpoint: Checkpoint, credential: str, steps: Sequence[Step]) -> Judged:
    """Say of each call what would become of it if they were all made now, in order; make none."""
    _check(steps)
    identity = await checkpoint.identify(credential)
    binding = await checkpoint.bindings.of(identity.revision)
    plan = PlanId(checkpoint.ids.new("pln"))
    drafts = [
        await _draft(checkpoint, identity, binding, credential=credential, step=step)
        for step in steps
    ]
    name = f"{plan}/steps"
    body = msgspec.json.encode(list(steps))
    kept = await checkpoint.seals.seal(identity.run, identity.team, name, body)
    nonce = checkpoint.dice.bytes(NONCE_BYTES)

    def write(tx: Transaction) -> Judged:
        row = runs.find_standing(tx, identity.run)
        stages.check_run(row, tx.now)
        assert row is not None and kept is not None, "a run that runs has a key"  # noqa: PT018  one reason
        if plans.count_of_run(tx, identity.run) >= PLANS_OF_RUN_MAX:
            raise LimitExceeded(
                f"the run has made {PLANS_OF_RUN_MAX} plans", hint="carry one out, or start a run"
            )
        current = standing.get(tx)
        verdicts = _verdicts(tx, drafts, binding, current)
        judged = _record(tx, plan, identity, drafts, verdicts, incarnation=current.incarnation)
        sealed.put(tx, name, identity.run, kept)
        facts = {"run": identity.run, "digest": judged.digest, "answer": judged.answer}
        entry = Entry(kind="plan_judged", subject=plan, body={"plan": plan, **facts})
        ledger.append(tx, entry, nonce)
        if stages.renews_credential(row, tx.now):
            runs.renew_credential(tx, identity.run, row["deadline"])
        return judged

    judged = await checkpoint.db.write(write)
    for draft in drafts:
        checkpoint.recorder.stored(draft.prepared)
    return judged


async def carry_out(checkpoint: Checkpoint, credential: str, plan: str, effect: Effect) -> Carried:
    """Make the calls of a plan in order, up to the first that is not done.

    Asked for again, what was done is answered as before and the rest goes on.
    """
    identity = await checkpoint.identify(credential)
    steps = await _steps(checkpoint, identity, plan)
    outcomes: list[Outcome] = []
    try:
        for step in steps:
            outcome = await checkpoint.carry_out(
                _proposal(credential, step, key=key_of(PlanId(plan), step)), effect
            )
            outcomes.append(outcome)
            if not (isinstance(outcome, Done) and outcome.receipt.status == "done"):
                break
    finally:
        await _note(checkpoint, plan, identity, outcomes)
    return Carried(id=PlanId(plan), steps=steps, outcomes=tuple(outcomes))


def state_of(outcome: Outcome) -> str:
    """What became of one step, in a word."""
    match outcome:
        case Done(receipt=receipt):
            return receipt.status
        case InDoubt():
            return "in_doubt"
        case Held():
            return "held"
        case Suggested():
            return "suggested"
        case Refused():
            return "refused"
        case _:
            assert_never(outcome)


def _check(steps: Sequence[Step]) -> None:
    if not 1 <= len(steps) <= PLAN_STEPS_MAX:
        raise Invalid(
            f"a plan has 1 to {PLAN_STEPS_MAX} calls, this one {len(steps)}",
            hint="cut it into plans that follow each other",
        )
    keys = [step.idempotency_key for step in steps if step.idempotency_key is not None]
    if len(set(keys)) < len(keys):
        raise Invalid(
            "two calls of the plan have one idempotency key",
            hint="leave the keys out: each call then has one of its own",
        )


async def _draft(
    checkpoint: Checkpoint,
    identity: RunIdentity,
    binding: Binding,
    *,
    credential: str,
    step: Step,
) -> _Draft:
    proposal = _proposal(credential, step, key=step.idempotency_key)
    now = checkpoint.clock.micros()
    action = stages.bind(proposal, identity, action=ActionId(""), now=now)
    ruling = await checkpoint.redacted(identity.team, _ruled(checkpoint, proposal, binding))
    tool = ruling.contract if isinstance(ruling.contract, Tool) else None
    if tool is None:
        target = await checkpoint.recorder.redacted_text(action.team, action.target)
        action = msgspec.structs.replace(action, target=target[:TARGET_CHARACTERS_MAX])
    return _Draft(
        step=step,
        action=action,
        ruling=ruling,
        consequences=await approvals.consequences(checkpoint.recorder, action, tool),
        prepared=await checkpoint.recorder.prepare(action.team, action.run, proposal.content),
    )


def _ruled(checkpoint: Checkpoint, proposal: Proposal, binding: Binding) -> Ruling:
    ruling = checkpoint.rule(proposal, binding)
    if not isinstance(ruling.contract, Tool) or is_carried_out_here(ruling.contract):
        return ruling
    theirs = deny("plan:cooperative", "its effect is in your own process: ask for it by itself")
    return msgspec.structs.replace(ruling, verdict=strictest(ruling.verdict, theirs))


def _proposal(credential: str, step: Step, *, key: str | None) -> Proposal:
    return Proposal(
        credential=credential,
        kind="tool",
        target=step.target,
        arguments=step.arguments,
        content=Content(rest=step.arguments),
        idempotency_key=key,
    )


def _verdicts(
    tx: Transaction, drafts: Sequence[_Draft], binding: Binding, current: standing.Standing
) -> tuple[Verdict, ...]:
    """Each call's verdict, with the room that those before it leave."""
    room, found = Room(), []
    for draft in drafts:
        verdict = strictest(draft.ruling.verdict, stages.freeze_verdict(draft.action, current))
        if verdict.answer != "deny":
            windows = windows_of(binding, draft.ruling, tx.now)
            rows = budgets.open_windows(tx, windows)
            holds = holds_of(windows, draft.ruling.bound or _NOTHING)
            short = room.take(rows, holds, keep=verdict.answer != "suggest")
            if short is not None:
                verdict = strictest(verdict, obstacle(verdict, short))
        found.append(verdict)
    return tuple(found)


def _record(
    tx: Transaction,
    plan: PlanId,
    identity: RunIdentity,
    drafts: Sequence[_Draft],
    verdicts: Sequence[Verdict],
    *,
    incarnation: str,
) -> Judged:
    rows: list[dict[str, Any]] = []
    for draft, verdict in zip(drafts, verdicts, strict=True):
        payloads.put(tx, draft.prepared.payloads)
        rows.append(
            {
                "plan": plan,
                "number": draft.step.number,
                "target": draft.action.target,
                "call": draft.action.digest,
                "idempotency_key": key_of(plan, draft.step),
                "answer": verdict.answer,
                "reasons": actions.reasons_json(verdict),
                "consequences": draft.consequences,
                "request": draft.prepared.root,
            }
        )
    said = ("number", "target", "call", "idempotency_key")
    digest = digest_of([{name: row[name] for name in said} for row in rows])
    judged = Judged(id=plan, answer=answer_of(verdicts), digest=digest, verdicts=tuple(verdicts))
    kept = {
        "id": plan,
        "run": identity.run,
        "agent": identity.agent,
        "team": identity.team,
        "revision": identity.revision,
        "digest": digest,
        "answer": judged.answer,
        "incarnation": incarnation,
    }
    plans.insert(tx, kept, rows)
    return judged


async def _steps(checkpoint: Checkpoint, identity: RunIdentity, plan: str) -> tuple[Step, ...]:
    """What a valid plan of this run asked for exactly."""
    row = await checkpoint.db.read(lambda tx: plans.find(tx, plan))
    if row is None or row["run"] != identity.run:
        raise NotFound("the run has no such plan", hint="make one: POST /v1/plans")
    if row["answer"] != "valid":
        raise Conflict(
            f"`{plan}` was found invalid: not all of its calls are allowed",
            hint="make a plan without what was denied; its answer says why",
        )
    body = await checkpoint.seals.find(identity.run, identity.team, f"{plan}/steps")
    if body is None:
        raise Conflict(f"`{plan}` is over: its run has ended", hint="make a plan in another run")
    return tuple(msgspec.json.decode(body, type=list[Step]))


async def _note(
    checkpoint: Checkpoint, plan: str, identity: RunIdentity, outcomes: Sequence[Outcome]
) -> None:
    """Say which action each step became. The actions' own rows and leaves say what came of them."""
    if not outcomes:
        return
    nonce = checkpoint.dice.bytes(NONCE_BYTES)
    became = [(number, o.action.id) for number, o in enumerate(outcomes, 1)]
    body = {
        "plan": plan,
        "run": identity.run,
        "steps": [
            {"number": number, "action": o.action.id, "state": state_of(o)}
            for number, o in enumerate(outcomes, 1)
        ],
    }

    def write(tx: Transaction) -> None:
        plans.carried(tx, plan, became)
        ledger.append(tx, Entry(kind="plan_carried_out", subject=plan, body=body), nonce)

    await checkpoint.db.write(write)


def results_of(outcome: Outcome) -> Any:
    """The JSON a done step answered with; nothing of one that was not done."""
    if not isinstance(outcome, Done) or not outcome.receipt.result:
        return None
    try:
        return orjson.loads(outcome.receipt.result)
    except orjson.JSONDecodeError:
        return outcome.receipt.result.decode("utf-8", "replace")
