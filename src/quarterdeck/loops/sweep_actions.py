"""Finds actions whose process died and concludes those in doubt; touches nothing of a live one."""

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.doubt import conclude_doubt
from quarterdeck.domain.actions import Effect
from quarterdeck.domain.ids import ActionId
from quarterdeck.domain.limits import HOLD_LAPSE_SECONDS, PROCESS_HEARTBEAT_SECONDS
from quarterdeck.store import actions, doubts

AT_ONCE = 200


async def sweep_actions(checkpoint: Checkpoint, effect: Effect) -> int:
    """One pass over orphans and doubts; returns how many it touched."""
    waiting = set(checkpoint.spool.list_names())
    now = checkpoint.clock.micros()
    silent_since = now - HOLD_LAPSE_SECONDS * 1_000_000
    # When the database was away for everybody, all leases have expired and nobody need be dead:
    # until the living have had time to renew theirs, only leases that were ended count.
    steady = now - checkpoint.watch.steady_since >= 2 * PROCESS_HEARTBEAT_SECONDS * 1_000_000
    expired = now if steady else 0
    orphans = await checkpoint.db.read(
        lambda tx: actions.list_orphaned(
            tx, me=checkpoint.process, now=expired, silent_since=silent_since, rows=AT_ONCE
        )
    )
    for row in orphans:
        # A receipt in the spool knows what happened: there is no doubt about it.
        if row["id"] not in waiting:
            await checkpoint.doubt(ActionId(row["id"]), row["process"], because="orphaned")
    doubtful = await checkpoint.db.read(lambda tx: doubts.list_due(tx, now=now, rows=AT_ONCE))
    for row in doubtful:
        await conclude_doubt(checkpoint, row, effect)
    return len(orphans) + len(doubtful)
