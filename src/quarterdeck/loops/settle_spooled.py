"""Commits settlements that could not be committed when their effect ended."""

import structlog

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.errors import Corrupt

AT_ONCE = 100
_log = structlog.get_logger("spool")


async def settle_spooled(checkpoint: Checkpoint) -> int:
    """Settle what waits in the spool; a settlement made before is simply taken out of it.

    A file that cannot be read stays where it is, for a person, and holds up none behind it.
    """
    settled = 0
    for name in checkpoint.spool.list_names()[:AT_ONCE]:
        try:
            settlement = checkpoint.spool.find(name)
        except Corrupt as error:
            _log.error("unreadable_in_spool", action=name, error=error.message)
            continue
        if settlement is not None:
            await checkpoint.commit_settlement(settlement)
            checkpoint.spool.remove(name)
            settled += 1
    return settled
