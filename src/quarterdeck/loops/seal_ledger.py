"""Puts new leaves into the ledger's tree and signs its head."""

from quarterdeck.store import ledger
from quarterdeck.store.database import Database
from quarterdeck.store.keys import Keyring


async def seal_ledger(db: Database, keyring: Keyring) -> int:
    """Seal the leaves that are there when it begins; returns how many. Nothing new, no new head.

    Any number of processes may run it: one at a time seals, the others find nothing left to do.
    """
    return await ledger.seal_visible(db, await keyring.ledger_signer())
