"""Sessions of the handshake era, as sealed state: the id holds what was agreed on.

Any process that has the database's keys can serve any session. An id is no credential: every
request shows its run's credential as well, and an id of another run is as good as an unknown one.
What changes after the handshake (its end, the log level, watched resources) is a row, which a
process reads anew when it last looked SEEN_SECONDS ago.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec.structs import replace

from quarterdeck.domain.errors import Corrupt
from quarterdeck.domain.limits import MCP_SESSION_SECONDS
from quarterdeck.domain.mcp.errors import INVALID_REQUEST, Fault
from quarterdeck.keys import SealingKey, credential_hash
from quarterdeck.sources import Clock, Dice
from quarterdeck.store import mcp_sessions
from quarterdeck.store.database import Database, Transaction
from quarterdeck.store.keys import Keyring

SEEN_SECONDS: Final = 1
SESSIONS_SEEN_MAX: Final = 10_000
ID_CHARACTERS_MAX: Final = 2048
_NAME: Final = "mcp-session"
_STATE: Final = "mcp-session-state"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a handshake agreed on; `server` is empty where all of an agent's tools are served."""

    nonce: bytes
    run: str
    server: str
    version: str
    can: tuple[str, ...]
    client: str
    until: int


class SessionState(msgspec.Struct, frozen=True, kw_only=True):
    """What changed since: whether it has ended, what is logged, which resources are watched."""

    ended: bool = False
    level: str | None = None
    watched: tuple[str, ...] = ()


NOTHING_CHANGED: Final = SessionState()
_SESSION: Final = msgspec.msgpack.Decoder(Session)
_CHANGED: Final = msgspec.msgpack.Decoder(SessionState)


@dataclass(slots=True, kw_only=True)
class McpSessions:
    """Opens, finds and ends sessions."""

    db: Database
    keyring: Keyring
    clock: Clock
    dice: Dice
    _seen: "OrderedDict[bytes, tuple[float, SessionState]]" = field(default_factory=OrderedDict)

    async def open(self, session: Session) -> str:
        """The id of a new session."""
        key = await self.keyring.mcp_key()
        return seal(key, _NAME, msgspec.msgpack.encode(session))

    def begun(
        self, *, run: str, server: str, version: str, can: tuple[str, ...], client: str
    ) -> Session:
        """A new session, for as long as an id is good."""
        return Session(
            nonce=self.dice.bytes(16),
            run=run,
            server=server,
            version=version,
            can=can,
            client=client,
            until=self.clock.micros() + MCP_SESSION_SECONDS * 1_000_000,
        )

    async def find(self, shown: str, *, run: str, server: str) -> tuple[Session, SessionState]:
        """The session of an id; raises Fault 404 for all that are none of this run's, alike."""
        key = await self.keyring.mcp_key()
        plain = unseal(key, _NAME, shown) if len(shown) <= ID_CHARACTERS_MAX else None
        if plain is None:
            raise _unknown()
        session = _SESSION.decode(plain)
        if (session.run, session.server) != (run, server) or session.until <= self.clock.micros():
            raise _unknown()
        state = await self.state(session)
        if state.ended:
            raise _unknown()
        return session, state

    async def state(self, session: Session) -> SessionState:
        """What changed since the handshake, as of at most SEEN_SECONDS ago."""
        now = self.clock.monotonic()
        seen = self._seen.get(session.nonce)
        if seen is not None and now - seen[0] < SEEN_SECONDS:
            return seen[1]
        name = credential_hash(session.nonce.hex())
        stored = await self.db.read(lambda tx: mcp_sessions.find(tx, name))
        state = _state(await self.keyring.mcp_key(), stored)
        self._remember(session, state)
        return state

    async def change(
        self, session: Session, change: Callable[[SessionState], SessionState]
    ) -> None:
        """Change what is kept of a session, for every process."""
        key = await self.keyring.mcp_key()
        name = credential_hash(session.nonce.hex())

        def write(tx: Transaction) -> SessionState:
            changed = change(_state(key, mcp_sessions.find(tx, name)))
            sealed = key.seal(_STATE, msgspec.msgpack.encode(changed))
            mcp_sessions.put(tx, name, sealed, session.until)
            return changed

        self._remember(session, await self.db.write(write))

    async def end(self, session: Session) -> None:
        """End a session: remembered until its id would be over by itself."""
        await self.change(session, lambda state: replace(state, ended=True, watched=()))

    def _remember(self, session: Session, state: SessionState) -> None:
        self._seen[session.nonce] = (self.clock.monotonic(), state)
        self._seen.move_to_end(session.nonce)
        while len(self._seen) > SESSIONS_SEEN_MAX:
            self._seen.popitem(last=False)


def _state(key: SealingKey, stored: bytes | None) -> SessionState:
    return NOTHING_CHANGED if stored is None else _CHANGED.decode(key.open(_STATE, stored))


def seal(key: SealingKey, name: str, plain: bytes) -> str:
    """Bytes as a text that a client carries and cannot read, change or make."""
    return base64.urlsafe_b64encode(key.seal(name, plain)).decode().rstrip("=")


def unseal(key: SealingKey, name: str, shown: str) -> bytes | None:
    """What was sealed, or None for anything else."""
    try:
        padded = shown.encode("ascii") + b"=" * (-len(shown) % 4)
        return key.open(name, base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, Corrupt):
        return None


def _unknown() -> Fault:
    return Fault(INVALID_REQUEST, "Session not found: begin a new one", status=404)
