"""The transaction before an effect: intent, reservation, spent approval and leaf, or none of them.

One synchronous function over a transaction. What was asked before under the same key is answered as
before; a write without a key, repeated at once by the same run, gets the first outcome.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from quarterdeck.checkpoint import approvals, stages, suggestions
from quarterdeck.checkpoint.approvals import Question
from quarterdeck.checkpoint.clearance import Terms
from quarterdeck.checkpoint.conclude import conclude
from quarterdeck.checkpoint.earlier import Earlier
from quarterdeck.checkpoint.recording import Prepared
from quarterdeck.checkpoint.sealing import name_of_arguments
from quarterdeck.checkpoint.stages import Ruling
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.actions import Action, Cleared, Held, Refused, Suggested
from quarterdeck.domain.approvals import Refuse, Spend, Wait
from quarterdeck.domain.budgets import Bound, Reservation, Shortfall, holds_of, reserve
from quarterdeck.domain.errors import Conflict, Unavailable
from quarterdeck.domain.fleets import Cap
from quarterdeck.domain.ids import BudgetId
from quarterdeck.domain.labels import Label, Labels
from quarterdeck.domain.ledger import Entry
from quarterdeck.domain.limits import REPEAT_SECONDS
from quarterdeck.domain.tools import Tool
from quarterdeck.domain.verdicts import Verdict, strictest
from quarterdeck.sources import day_of
from quarterdeck.store import actions, budgets, ledger, payloads, runs, sealed, standing
from quarterdeck.store import suggestions as store_of_suggestions
from quarterdeck.store.database import Need, Row, Transaction

_NOTHING: Final = Bound(nanousd=0, tokens=0, calls=0)
_AGENT: Final[frozenset[Label]] = frozenset(("agent",))


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An admission that is ready for its transaction."""

    action: Action
    ruling: Ruling
    windows: Mapping[BudgetId, Cap | None]
    prepared: Prepared
    process: str
    nonce: bytes
    sealed_arguments: bytes | None
    noticed: standing.Standing
    question: Question | None = None


class _Told(msgspec.Struct, frozen=True):
    """What people have said about an action: a verdict with that, and what of it is used up.

    `before` is what is answered if it was asked and nobody has said anything yet.
    """

    verdict: Verdict
    approval: str | None = None
    before: Earlier | None = None


def needs(draft: Draft) -> list[Need]:
    """The rows an admission reads."""
    return [runs.need(draft.action.run), *(budgets.need(budget) for budget in draft.windows)]


def admit(tx: Transaction, draft: Draft) -> Cleared | Refused | Held | Suggested | Earlier:
    """Decide one action and record the decision."""
    row = runs.find_standing(tx, draft.action.run)
    stages.check_run(row, tx.now)
    assert row is not None
    if earlier := _asked_before(tx, draft):
        return Earlier(row=earlier)
    present = labelling.parse(row["labels"])
    action = _labelled(draft.action, draft.prepared.labels | present)
    current = _standing(tx, row, draft.noticed)
    verdict = strictest(draft.ruling.verdict, stages.freeze_verdict(action, current))
    told = _told(tx, draft, verdict, incarnation=current.incarnation)
    reserved = _reserve(tx, draft, told)
    if stages.renews_credential(row, tx.now):
        runs.renew_credential(tx, action.run, row["deadline"])
    if told.before is not None and isinstance(reserved, Reservation):
        return told.before
    terms = _terms(tx, draft.ruling, current)
    admission = conclude(
        action, told.verdict, reserved=reserved, terms=terms, approval=told.approval
    )
    if isinstance(admission, Held) and draft.question is not None:
        admission = replace(admission, approval=draft.question.id)
    _record(tx, draft, admission, incarnation=current.incarnation)
    _join_labels(tx, action, admission, present)
    return admission


def _labelled(action: Action, labels: Labels) -> Action:
    """The action with what its content and its run are labelled."""
    return action if labels <= action.labels else replace(action, labels=action.labels | labels)


def _standing(tx: Transaction, row: Row, noticed: standing.Standing) -> standing.Standing:
    """What is frozen now. Every freeze raises the epoch: one we have noticed needs no look."""
    if (row["epoch"], row["incarnation_now"]) == (noticed.epoch, noticed.incarnation):
        return noticed
    return standing.get(tx)


def _asked_before(tx: Transaction, draft: Draft) -> Row | None:
    action = draft.action
    if action.idempotency_key is not None:
        row = actions.find_by_key(tx, action.run, action.idempotency_key)
        if row is not None and row["digest"] != action.digest:
            raise Conflict(
                f"the idempotency key `{action.idempotency_key}` was used for other arguments",
                hint="use a new key for a new call",
            )
        return row
    tool = draft.ruling.contract
    if not isinstance(tool, Tool) or not tool.happens_once:
        return None
    row = actions.find_repeat(tx, action, tx.now - REPEAT_SECONDS * 1_000_000)
    if row is not None and actions.is_open(row):
        raise Conflict(
            "the same call of this run is still under way",
            hint="wait for its outcome, or send an idempotency key to mean a second one",
        )
    return row


def _told(tx: Transaction, draft: Draft, verdict: Verdict, *, incarnation: str) -> _Told:
    """What people have said, where the rules ask for them and nothing forbids it anyway."""
    asked = draft.question
    if asked is None or verdict.answer == "deny":
        return _Told(verdict)
    if asked.suggestion is not None:
        fits = suggestions.fitting(tx, draft.action, asked.suggestion, incarnation=incarnation)
        # Whoever carries it out is the person who would have been asked.
        return _Told(strictest(verdict, fits), approval=asked.suggestion)
    if verdict.answer == "suggest":
        return _Told(verdict, before=_suggested_before(tx, draft.action, incarnation))
    if verdict.answer != "ask":
        return _Told(verdict)
    match approvals.judged(tx, draft.action, asked, incarnation=incarnation):
        case Spend(approval):
            return _Told(verdict, approval=approval)
        case Wait(approval, waiting):
            row = actions.find(tx, waiting)
            assert row is not None, "an approval is about an action"
            return _Told(verdict, before=Earlier(row=row, approval=approval))
        case Refuse(denied):
            return _Told(strictest(verdict, denied))
    return _Told(verdict)


def _suggested_before(tx: Transaction, action: Action, incarnation: str) -> Earlier | None:
    """The same call of this run, suggested and not yet decided about: one suggestion is enough."""
    found = store_of_suggestions.find_open(tx, action.run, action.target, action.digest)
    if found is None or found["incarnation"] != incarnation:
        return None
    row = actions.find(tx, found["action"])
    assert row is not None, "a suggestion is an action"
    return Earlier(row=row)


def _reserve(tx: Transaction, draft: Draft, told: _Told) -> Reservation | Shortfall:
    """Hold what the action may use, if it may happen now; else only look whether there is room.

    What is denied anyway is not measured and opens no window.
    """
    verdict = told.verdict
    if verdict.answer == "deny":
        return Reservation(holds=(), owner=draft.process)
    holds = holds_of(draft.windows, draft.ruling.bound or _NOTHING)
    now = verdict.answer in ("allow", "redact") or (
        verdict.answer == "ask" and told.approval is not None
    )
    if now and budgets.hold(tx, holds):
        return Reservation(holds=holds, owner=draft.process)
    reserved = reserve(budgets.open_windows(tx, draft.windows), holds, draft.process)
    if not now or isinstance(reserved, Shortfall) or budgets.hold(tx, holds):
        return reserved
    # Between what was fetched for this group and that look, another process has opened a window or
    # taken its room. Held now, the rows are locked: what they say then stays so.
    budgets.look_again(tx, draft.windows)
    if budgets.hold(tx, holds):
        return reserved
    short = reserve(budgets.open_windows(tx, draft.windows), holds, draft.process)
    if isinstance(short, Reservation):  # nothing is held, so nothing may begin
        raise Unavailable("budgets changed while they were looked at", hint="try again")
    return short


def _terms(tx: Transaction, ruling: Ruling, current: standing.Standing) -> Terms | None:
    if ruling.contract is None or ruling.bound is None:
        return None
    return Terms(
        contract=ruling.contract,
        price=ruling.price,
        bound=ruling.bound,
        epoch=current.epoch,
        incarnation=current.incarnation,
        now=tx.now,
        tokens=ruling.tokens,
        fallback=ruling.fallback,
    )


def _record(
    tx: Transaction,
    draft: Draft,
    admission: Cleared | Refused | Held | Suggested,
    *,
    incarnation: str,
) -> None:
    action = admission.action
    if not isinstance(admission, Refused) and draft.sealed_arguments is not None:
        sealed.put(tx, name_of_arguments(action.id), action.run, draft.sealed_arguments)
    body = actions.insert(
        tx,
        action,
        admission,
        admission.verdict,
        process=draft.process,
        incarnation=incarnation,
        request=draft.prepared.root,
    )
    payloads.put(tx, draft.prepared.payloads)
    kind = {Cleared: "admitted", Refused: "refused", Held: "held", Suggested: "suggested"}
    entry = Entry(kind=kind[type(admission)], subject=action.id, body=body)
    ledger.append(tx, entry, draft.nonce, keep_body=False)
    if draft.question is not None:
        _ask(tx, draft.question, admission, incarnation=incarnation)
    if isinstance(admission, Refused):
        actions.tally(tx, action, day_of(tx.now), {"actions": 1, "refused": 1})


def _ask(
    tx: Transaction,
    asked: Question,
    admission: Cleared | Refused | Held | Suggested,
    *,
    incarnation: str,
) -> None:
    """Ask people, or use up what they said."""
    action = admission.action
    if isinstance(admission, Held):
        approvals.ask(tx, action, asked, incarnation=incarnation)
    elif isinstance(admission, Suggested):
        approvals.suggest(tx, action, asked, incarnation=incarnation)
    elif isinstance(admission, Cleared) and asked.suggestion is not None:
        suggestions.carry_out(tx, action, asked.suggestion, asked.nonce)
    elif isinstance(admission, Cleared) and admission.approval is not None:
        approvals.spend(tx, action, admission.approval, asked.nonce)


def _join_labels(
    tx: Transaction,
    action: Action,
    admission: Cleared | Refused | Held | Suggested,
    present: Labels,
) -> None:
    """What a model will say is labelled before its first byte is released (I-8)."""
    labels = action.labels
    if action.kind == "model" and isinstance(admission, Cleared):
        labels |= _AGENT
    if not labels <= present:
        runs.join_labels(tx, action.run, labels)
