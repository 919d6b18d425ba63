"""What becomes of an action whose process died between clearance and settlement.

Its money stays held until somebody decides: a model call becomes an estimated charge, an idempotent
tool is tried again under the same key, later each time and not for ever, and only a doubtful write
is left to a person. What nobody has found out by then ends as unknown, charged in full.
"""

from typing import assert_never

from msgspec.structs import replace

from quarterdeck.checkpoint import settlement as settlements
from quarterdeck.checkpoint.checkpoint import Checkpoint, execute
from quarterdeck.checkpoint.clearance import Terms, clear
from quarterdeck.checkpoint.earlier import action_of
from quarterdeck.checkpoint.settlement import Settlement
from quarterdeck.checkpoint.stages import freeze_verdict
from quarterdeck.domain import doubts as doubting
from quarterdeck.domain.actions import Cleared, Effect, InDoubt, Receipt
from quarterdeck.domain.budgets import Bound
from quarterdeck.domain.doubts import Resolution
from quarterdeck.domain.ids import ActionId, ToolName
from quarterdeck.domain.labels import NONE
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import DOUBT_TRIES_MAX
from quarterdeck.domain.tools import Tool
from quarterdeck.domain.verdicts import allow
from quarterdeck.store import actions, doubts, ledger, standing
from quarterdeck.store.database import Row, Transaction

_ORPHANED = {"error": "its process ended before it was settled; charged in full as estimated"}


def resolve(row: Row, tool: Tool | None, *, now: int) -> Resolution:
    """What to do with an action in doubt; its row says how often it was tried again."""
    is_repeatable = tool is not None and tool.idempotent and row["mark"] == "enforced"
    return doubting.resolve(
        is_model=row["kind"] == "model",
        is_repeatable=is_repeatable,
        tries=row["tries"],
        age=now - row["proposed_at"],
    )


async def conclude_doubt(checkpoint: Checkpoint, row: Row, effect: Effect) -> Resolution:
    """Settle, try again or leave one action in doubt; `effect` carries out tool calls."""
    binding = await checkpoint.bindings.of(row["revision"])
    tool = binding.fleet.tools.get(ToolName(row["target"])) if row["kind"] == "tool" else None
    resolution = resolve(row, tool, now=checkpoint.clock.micros())
    match resolution:
        case "estimate":
            await _estimate(checkpoint, row)
        case "retry":
            await _retry(checkpoint, row, effect)
        case "wait":
            pass
        case _:
            assert_never(resolution)
    return resolution


async def reopened(checkpoint: Checkpoint, row: Row, arguments: bytes) -> Cleared:
    """The clearance of a tool call, made again from its row for whoever goes on with it."""
    binding = await checkpoint.bindings.of(row["revision"])
    tool = binding.fleet.tools[ToolName(row["target"])]
    reservation = actions.reservation_of(row)
    held = {hold.unit: hold.amount for hold in reservation.holds}
    terms = Terms(
        contract=tool,
        price=None,
        bound=Bound(nanousd=held.get("nanousd", 0), tokens=held.get("tokens", 0)),
        epoch=checkpoint.watch.epoch,
        incarnation=row["incarnation"],
        now=checkpoint.clock.micros(),
    )
    action = replace(action_of(row), arguments=arguments)
    verdict = allow("journal", "it was cleared before and its outcome is not known")
    return clear(action, verdict, reservation=reservation, terms=terms, approval=None)


async def _retry(checkpoint: Checkpoint, row: Row, effect: Effect) -> None:
    """An idempotent tool is called again under the same key, from the sealed arguments."""
    arguments = await checkpoint.seals.find_arguments(action_of(row))
    current = await checkpoint.db.read(standing.get)
    frozen = freeze_verdict(action_of(row), current)
    if arguments is None or frozen.answer == "deny":
        return
    process = checkpoint.process
    if not await checkpoint.db.write(
        lambda tx: doubts.claim(tx, row["id"], process, tries_max=DOUBT_TRIES_MAX)
    ):
        return
    cleared = await reopened(checkpoint, row, arguments)
    receipt = await execute(effect, cleared)
    if isinstance(receipt, InDoubt):
        await checkpoint.doubt(cleared.action.id, process, because="timeout")
        return
    if receipt.status == "not_attempted":  # which says nothing of the call before it
        await checkpoint.doubt(cleared.action.id, process, because="the retry never began")
        return
    await checkpoint.settle(cleared, receipt)


async def _estimate(checkpoint: Checkpoint, row: Row) -> None:
    """The hold becomes a charge of the full amount, marked as estimated."""
    reservation = actions.reservation_of(row)
    held = {hold.unit: hold.amount for hold in reservation.holds}
    used = Bound(nanousd=held.get("nanousd", 0), tokens=held.get("tokens", 0))
    is_model, tries = row["kind"] == "model", row["tries"]
    receipt = Receipt(
        status="failed",
        result=b"",
        usage_source="estimated",
        cost_nanousd=used.nanousd,
        detail=_ORPHANED if is_model else doubting.ended_detail(tries),
    )
    nonces = (checkpoint.dice.bytes(NONCE_BYTES), checkpoint.dice.bytes(NONCE_BYTES))
    settlement = Settlement(
        action=action_of(row),
        reservation=reservation,
        receipt=receipt,
        used=used,
        prepared=None,
        labels=NONE,
        sealed_answer=None,
        nonces=nonces,
    )
    if is_model:
        await checkpoint.commit_settlement(settlement)
        return
    nonce = checkpoint.dice.bytes(NONCE_BYTES)
    await checkpoint.db.write(
        lambda tx: _end(tx, settlement, tries, nonce), needs=lambda: settlements.needs(settlement)
    )


def _end(tx: Transaction, settlement: Settlement, tries: int, nonce: bytes) -> None:
    """Settle what nobody knows, and say in the ledger that nobody does."""
    if settlements.settle(tx, settlement) is None:
        return  # somebody has found out after all
    action: ActionId = settlement.action.id
    doubts.end(tx, action)
    charged = settlement.used.nanousd
    body = {"action": action, "outcome": "unknown", "tries": tries, "charged_nanousd": charged}
    ledger.append(tx, Entry(kind="doubt_ended", subject=action, body=body), nonce)
