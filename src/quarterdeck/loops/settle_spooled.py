"""Commits settlements that could not be committed when their effect ended."""

from quarterdeck.checkpoint.checkpoint import Checkpoint

AT_ONCE = 100


async def settle_spooled(checkpoint: Checkpoint) -> int:
    """Settle what waits in the spool; a settlement made before is simply taken out of it."""
    settled = 0
    for name in checkpoint.spool.list_names()[:AT_ONCE]:
        settlement = checkpoint.spool.find(name)
        if settlement is not None:
            await checkpoint.commit_settlement(settlement)
            checkpoint.spool.remove(name)
            settled += 1
    return settled
