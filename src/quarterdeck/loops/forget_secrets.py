"""Forgets the old values of rotated secrets once their overlap has passed."""

from quarterdeck.store import secrets
from quarterdeck.store.database import Database


async def forget_secrets(db: Database) -> int:
    """Forget what may not be used any more; how many values that were."""
    if not await db.read(secrets.has_retiring):  # nearly always: then nothing is written
        return 0
    return await db.write(secrets.forget_retired)
