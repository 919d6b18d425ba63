"""Says that this process lives, and notices what was frozen meanwhile."""

from quarterdeck.checkpoint.checkpoint import Checkpoint, Watch
from quarterdeck.domain.limits import PROCESS_LEASE_SECONDS
from quarterdeck.store import standing
from quarterdeck.store.database import Database
from quarterdeck.store.standing import Process


async def renew_lease(checkpoint: Checkpoint, process: Process) -> None:
    """Renew the lease of this process."""
    await checkpoint.db.write(lambda tx: standing.renew_lease(tx, process))
    watch, now = checkpoint.watch, checkpoint.clock.micros()
    if now - watch.renewed_at > PROCESS_LEASE_SECONDS * 1_000_000:
        watch.steady_since = now
    watch.renewed_at = now


async def watch_standing(db: Database, watch: Watch) -> None:
    """Notice a freeze of another process. Admissions do not rest on it: they ask again."""
    watch.noticed = await db.read(standing.get)
