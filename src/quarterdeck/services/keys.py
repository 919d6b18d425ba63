"""Long-lived agent keys: issue, list, rotate with an overlap, revoke (SPEC ID-2)."""

from dataclasses import dataclass

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.errors import Conflict, NotFound, Unidentified
from quarterdeck.domain.ids import AgentName
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.people import Caller, authorise, authorise_whole
from quarterdeck.keys import credential_hash
from quarterdeck.services.replies import EVERY_TIME, Once
from quarterdeck.sources import Clock, Dice, Ids
from quarterdeck.store import agent_keys, ledger
from quarterdeck.store.database import Database, Row, Transaction

PREFIX = "qdk_"
OVERLAP_SECONDS_DEFAULT = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key; `secret` is shown this once and kept nowhere."""

    id: str
    agent: str
    secret: str
    expires_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The use cases of agent keys."""

    db: Database
    bindings: Bindings
    clock: Clock
    ids: Ids
    dice: Dice

    async def issue(
        self, caller: Caller, agent: str, *, days: int | None = None, once: Once = EVERY_TIME
    ) -> IssuedKey:
        """A new key for an agent, good for `days` or until revoked."""
        authorise(caller, "keys")
        binding = await self.bindings.agent_in_force(agent)
        if not caller.sees(binding.agent.team):
            raise NotFound(f"no agent `{agent}`", hint="see `quarterdeck agents list`")
        made = self._make(agent, days)
        await self.db.write(once.writing(lambda tx: self._insert(tx, made, caller), made))
        return made

    async def list_all(self, caller: Caller, agent: str | None = None) -> list[Row]:
        """Keys without their secrets, newest first."""
        authorise(caller, "read")
        rows = await self.db.read(lambda tx: agent_keys.list_all(tx, agent))
        if caller.team is None:
            return rows
        fleet = await self.bindings.in_force()
        agents = {} if fleet is None else fleet.agents
        return [r for r in rows if r["agent"] in agents and caller.sees(agents[r["agent"]].team)]

    async def rotate(
        self,
        caller: Caller,
        key: str,
        *,
        overlap_seconds: int = OVERLAP_SECONDS_DEFAULT,
        once: Once = EVERY_TIME,
    ) -> IssuedKey:
        """A new key beside the old one, which lives on for the overlap."""
        authorise_whole(caller, "keys")
        old = await self.db.read(lambda tx: agent_keys.find(tx, key))
        if old is None:
            raise NotFound(f"no key `{key}`", hint="see `quarterdeck keys list`")
        made = self._make(old["agent"], None)

        def replace(tx: Transaction) -> None:
            row = agent_keys.find(tx, key)
            if row is None or row["revoked_at"] is not None or row["rotated_to"] is not None:
                raise Conflict(
                    f"key `{key}` was revoked or rotated before", hint="rotate its successor"
                )
            self._insert(tx, made, caller)
            until = tx.now + overlap_seconds * 1_000_000
            agent_keys.expire(tx, key, at=until, rotated_to=made.id)

        await self.db.write(once.writing(replace, made))
        return made

    async def revoke(self, caller: Caller, key: str, *, once: Once = EVERY_TIME) -> None:
        """End a key now; doing it again changes nothing."""
        authorise_whole(caller, "keys")

        def end(tx: Transaction) -> None:
            if agent_keys.find(tx, key) is None:
                raise NotFound(f"no key `{key}`", hint="see `quarterdeck keys list`")
            if agent_keys.revoke(tx, key):
                entry = Entry(kind="key_revoked", subject=key, body={"key": key, "by": caller.id})
                ledger.append(tx, entry, self.dice.bytes(NONCE_BYTES))

        await self.db.write(once.writing(end))

    async def identify(self, secret: str) -> Caller:
        """The agent a key stands for."""
        digest, now = credential_hash(secret), self.clock.micros()
        row = await self.db.read(lambda tx: agent_keys.find_live(tx, digest, now))
        if row is None:
            raise Unidentified(
                "this key is not known, has expired or was revoked",
                hint="issue one with `quarterdeck keys issue AGENT`",
            )
        return Caller(id=f"agent:{row['agent']}", role="agent", agent=AgentName(row["agent"]))

    def _make(self, agent: str, days: int | None) -> IssuedKey:
        expires = None if days is None else self.clock.micros() + days * 86_400_000_000
        return IssuedKey(
            id=self.ids.new("key"),
            agent=agent,
            secret=PREFIX + self.dice.token(),
            expires_at=expires,
        )

    def _insert(self, tx: Transaction, made: IssuedKey, caller: Caller) -> None:
        agent_keys.insert(
            tx,
            {
                "id": made.id,
                "agent": made.agent,
                "hash": credential_hash(made.secret),
                "hint": made.secret[-4:],
                "issued_at": tx.now,
                "expires_at": made.expires_at,
            },
        )
        body = {"key": made.id, "agent": made.agent, "by": caller.id, "expires": made.expires_at}
        ledger.append(
            tx, Entry(kind="key_issued", subject=made.id, body=body), self.dice.bytes(NONCE_BYTES)
        )
