"""Console sessions: which of them were ended, known to every process and after every restart."""

from dataclasses import dataclass

from quarterdeck.keys import credential_hash
from quarterdeck.store import sessions
from quarterdeck.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSessions:
    """The memory of signing out. A session's id is a secret of its cookie: only a hash is kept."""

    db: Database

    async def end(self, session: str, until: int) -> None:
        """Sign out; `until` (microseconds) is when the cookie would be over by itself."""
        await self.db.write(lambda tx: sessions.end(tx, credential_hash(session), until))

    async def has_ended(self, session: str) -> bool:
        """Whether a session was signed out of."""
        return await self.db.read(lambda tx: sessions.has_ended(tx, credential_hash(session)))
