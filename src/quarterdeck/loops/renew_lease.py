"""Says that this process lives, and notices what was frozen meanwhile."""

from quarterdeck.checkpoint.checkpoint import Watch
from quarterdeck.store import standing
from quarterdeck.store.database import Database
from quarterdeck.store.standing import Process


async def renew_lease(db: Database, process: Process) -> None:
    """Renew the lease of this process."""
    await db.write(lambda tx: standing.renew_lease(tx, process))


async def watch_standing(db: Database, watch: Watch) -> None:
    """Notice a freeze of another process. Admissions do not rest on it: they ask again."""
    watch.noticed = await db.read(standing.get)
