"""The transaction after an effect: charge, outcome and leaf, or none of them."""

import msgspec

from quarterdeck.checkpoint import approvals
from quarterdeck.checkpoint.recording import Prepared
from quarterdeck.domain.actions import Action, Receipt
from quarterdeck.domain.budgets import Bound, Reservation, charges
from quarterdeck.domain.labels import Labels
from quarterdeck.domain.ledger import Entry
from quarterdeck.sources import day_of
from quarterdeck.store import actions, budgets, doubts, ledger, payloads, runs, sealed
from quarterdeck.store.database import Need, Transaction


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt that is ready for its transaction."""

    action: Action
    reservation: Reservation
    receipt: Receipt
    used: Bound
    prepared: Prepared | None
    labels: Labels
    sealed_answer: bytes | None
    nonces: tuple[bytes, bytes]


def needs(settlement: Settlement) -> list[Need]:
    """The rows a settlement reads."""
    holds = settlement.reservation.holds
    return [actions.need(settlement.action.id), *(budgets.need(hold.budget) for hold in holds)]


def settle(tx: Transaction, settlement: Settlement) -> int | None:
    """Charge and finish an open action: its overrun, or `None` if it was settled before.

    That nothing was begun is no longer one process's to say once another has taken the action over.
    """
    action, receipt = settlement.action, settlement.receipt
    if receipt.status == "not_attempted" and doubts.is_claimed(tx, action.id):
        return None
    body = actions.finish(
        tx,
        action,
        receipt,
        cost_nanousd=settlement.used.nanousd,
        response=None if settlement.prepared is None else settlement.prepared.root,
    )
    if body is None:
        return None
    charged = charges(settlement.reservation, settlement.used)
    budgets.settle(tx, charged)
    if settlement.prepared is not None:
        payloads.put(tx, settlement.prepared.payloads)
    if settlement.sealed_answer is not None:
        sealed.put(tx, f"{action.id}/answer", action.run, settlement.sealed_answer)
    entry = Entry(kind=f"settled:{receipt.status}", subject=action.id, body=body)
    ledger.append(tx, entry, settlement.nonces[0], keep_body=False)
    if receipt.status == "not_attempted":
        approvals.give_back(tx, action, settlement.nonces[1])
    overrun = max((o for hold, _, o in charged if hold.unit == "nanousd"), default=0)
    if overrun:
        _record_overrun(tx, settlement, overrun)
    _count(tx, settlement)
    if settlement.labels:
        runs.join_labels(tx, action.run, settlement.labels)
    return overrun


def _record_overrun(tx: Transaction, settlement: Settlement, overrun: int) -> None:
    body = {
        "action": settlement.action.id,
        "cause": "billed above its bound",
        "overrun_nanousd": overrun,
        "budgets": [hold.budget for hold in settlement.reservation.holds],
    }
    ledger.append(
        tx, Entry(kind="overrun", subject=settlement.action.id, body=body), settlement.nonces[1]
    )


def _count(tx: Transaction, settlement: Settlement) -> None:
    """Count an action where it was to go, and what it cost where that was charged."""
    action, receipt = settlement.action, settlement.receipt
    day = day_of(action.proposed_at)
    left = settlement.used.nanousd
    for attempt in receipt.attempts:
        left -= attempt.cost_nanousd
        if attempt.usage is not None:
            spent = {"cost_nanousd": attempt.cost_nanousd, **attempt.usage.as_json()}
            target = f"{attempt.vendor}/{attempt.model}"
            actions.tally(tx, action, day, spent, target=target)
    counted = {"actions": 1, "cost_nanousd": left}
    if receipt.usage is not None and not receipt.attempts:
        counted |= receipt.usage.as_json()
    if receipt.status == "failed":
        counted["failed"] = 1
    actions.tally(tx, action, day, counted)
