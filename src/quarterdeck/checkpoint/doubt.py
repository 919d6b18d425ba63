"""What becomes of an action whose process died between clearance and settlement.

Its money stays held until somebody decides: a model call becomes an estimated charge, an idempotent
tool is tried again under the same key, and only a doubtful write is left to a person, whose hold
lapses into a charge marked estimated.
"""

from typing import Literal, TypeAlias, assert_never

from msgspec.structs import replace

from quarterdeck.checkpoint.checkpoint import Checkpoint, execute
from quarterdeck.checkpoint.clearance import Terms, clear
from quarterdeck.checkpoint.earlier import action_of
from quarterdeck.checkpoint.settlement import Settlement
from quarterdeck.checkpoint.stages import freeze_verdict
from quarterdeck.domain.actions import Cleared, Effect, InDoubt, Receipt
from quarterdeck.domain.budgets import Bound
from quarterdeck.domain.ids import ToolName
from quarterdeck.domain.labels import NONE
from quarterdeck.domain.ledger import NONCE_BYTES
from quarterdeck.domain.limits import HOLD_LAPSE_SECONDS
from quarterdeck.domain.tools import Tool
from quarterdeck.domain.verdicts import allow
from quarterdeck.store import actions, standing
from quarterdeck.store.database import Row

Resolution: TypeAlias = Literal["estimate", "retry", "wait"]


def resolve(row: Row, tool: Tool | None, *, now: int) -> Resolution:
    """What to do with an action in doubt."""
    if row["kind"] == "model":
        return "estimate"
    if tool is not None and tool.idempotent and row["mark"] == "enforced":
        return "retry"
    lapsed = row["proposed_at"] + HOLD_LAPSE_SECONDS * 1_000_000 <= now
    return "estimate" if lapsed else "wait"


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
    if not await checkpoint.db.write(lambda tx: actions.reclaim(tx, row["id"], process)):
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
    receipt = Receipt(
        status="failed",
        result=b"",
        usage_source="estimated",
        cost_nanousd=used.nanousd,
        detail={"error": "its process ended before it was settled; charged in full as estimated"},
    )
    nonces = (checkpoint.dice.bytes(NONCE_BYTES), checkpoint.dice.bytes(NONCE_BYTES))
    await checkpoint.commit_settlement(
        Settlement(
            action=action_of(row),
            reservation=reservation,
            receipt=receipt,
            used=used,
            prepared=None,
            labels=NONE,
            sealed_answer=None,
            nonces=nonces,
        )
    )
