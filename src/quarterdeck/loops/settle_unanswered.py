"""Releases what was admitted and told to nobody: the caller had gone, or the answer was lost.

No effect begins without its Cleared, so such an action was provably not attempted. Without this its
money would stay held for as long as the process lives, which no sweep takes for dead.
"""

from typing import Final

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.earlier import action_of
from quarterdeck.checkpoint.settlement import Settlement
from quarterdeck.domain.actions import Receipt
from quarterdeck.domain.budgets import Bound
from quarterdeck.domain.ids import ActionId
from quarterdeck.domain.labels import NONE
from quarterdeck.domain.ledger import NONCE_BYTES
from quarterdeck.domain.limits import EFFECT_SECONDS_MAX
from quarterdeck.store import actions
from quarterdeck.store.database import Row

AT_ONCE: Final = 100
_RECEIPT: Final = Receipt(
    status="not_attempted",
    result=b"",
    detail={
        "error": "whoever asked was gone, or was told that nothing is known, when it was cleared"
    },
)


async def settle_unanswered(checkpoint: Checkpoint) -> int:
    """Settle those that were committed after all; forget those that by now never will be."""
    settled = 0
    for action, asked_at in list(checkpoint.unanswered.items())[:AT_ONCE]:
        row = await _find(checkpoint, action)
        if row is not None and actions.is_open(row):
            await checkpoint.commit_settlement(_not_attempted(checkpoint, row))
            settled += 1
        late = checkpoint.clock.micros() - asked_at > EFFECT_SECONDS_MAX * 1_000_000
        if row is not None or late:
            checkpoint.unanswered.pop(action, None)
    return settled


async def _find(checkpoint: Checkpoint, action: ActionId) -> Row | None:
    return await checkpoint.db.read(lambda tx: actions.find(tx, action))


def _not_attempted(checkpoint: Checkpoint, row: Row) -> Settlement:
    nonces = checkpoint.dice.bytes(NONCE_BYTES), checkpoint.dice.bytes(NONCE_BYTES)
    return Settlement(
        action=action_of(row),
        reservation=actions.reservation_of(row),
        receipt=_RECEIPT,
        used=Bound(nanousd=0, tokens=0, calls=0),
        prepared=None,
        labels=NONE,
        sealed_answer=None,
        nonces=nonces,
    )
