"""The transaction before an effect: intent, reservation, spent approval and leaf, or none of them.

One synchronous function over a transaction. What was asked before under the same key is answered as
before; a write without a key, repeated at once by the same run, gets the first outcome.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from quarterdeck.checkpoint import stages
from quarterdeck.checkpoint.clearance import Terms
from quarterdeck.checkpoint.conclude import conclude
from quarterdeck.checkpoint.recording import Prepared
from quarterdeck.checkpoint.stages import Ruling
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.actions import Action, Cleared, Held, Refused, Suggested
from quarterdeck.domain.budgets import Bound, Reservation, Shortfall, holds_of, reserve
from quarterdeck.domain.errors import Conflict
from quarterdeck.domain.fleets import Cap, Tool
from quarterdeck.domain.ids import BudgetId
from quarterdeck.domain.labels import Label, Labels
from quarterdeck.domain.ledger import Entry
from quarterdeck.domain.limits import REPEAT_SECONDS
from quarterdeck.domain.verdicts import Verdict, strictest
from quarterdeck.sources import day_of
from quarterdeck.store import actions, budgets, ledger, payloads, runs, sealed, standing
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The row of an action asked before; its sealed answer is opened outside the transaction."""

    row: Row


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
    reserved = _reserve(tx, draft, verdict)
    terms = _terms(tx, draft.ruling, current)
    admission = conclude(action, verdict, reserved=reserved, terms=terms, approval=None)
    _record(tx, draft, admission, incarnation=current.incarnation)
    _join_labels(tx, action, admission, present)
    if stages.renews_credential(row, tx.now):
        runs.renew_credential(tx, action.run, row["deadline"])
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
    if not isinstance(tool, Tool) or tool.repeatable or tool.effect in ("read", "egress"):
        return None
    row = actions.find_repeat(tx, action, tx.now - REPEAT_SECONDS * 1_000_000)
    if row is not None and actions.is_open(row):
        raise Conflict(
            "the same call of this run is still under way",
            hint="wait for its outcome, or send an idempotency key to mean a second one",
        )
    return row


def _reserve(tx: Transaction, draft: Draft, verdict: Verdict) -> Reservation | Shortfall:
    """Hold what the action may use, if it may happen now; else only look whether there is room.

    What is denied anyway is not measured and opens no window.
    """
    if verdict.answer == "deny":
        return Reservation(holds=(), owner=draft.process)
    holds = holds_of(draft.windows, draft.ruling.bound or _NOTHING)
    now = verdict.answer in ("allow", "redact")
    if now and budgets.hold(tx, holds):
        return Reservation(holds=holds, owner=draft.process)
    reserved = reserve(budgets.open_windows(tx, draft.windows), holds, draft.process)
    if now and isinstance(reserved, Reservation):
        held = budgets.hold(tx, holds)
        assert held, "there was room a moment ago, in the same transaction"
    return reserved


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
    if isinstance(admission, Cleared) and draft.sealed_arguments is not None:
        sealed.put(tx, f"{action.id}/arguments", action.run, draft.sealed_arguments)
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
    if isinstance(admission, Refused):
        actions.tally(tx, action, day_of(tx.now), {"refused": 1})


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
