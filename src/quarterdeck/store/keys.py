"""Rows of wrapped keys: made at first use, the same for every process."""

from dataclasses import dataclass
from typing import Final

from quarterdeck.domain.ids import TeamName
from quarterdeck.keys import KEY_BYTES, Pseudonyms, SealingKey, Signer
from quarterdeck.sources import Dice
from quarterdeck.store.database import Database, Reading, Transaction

_WRAPPED: Final = (("keys", "wrapped"), ("secrets", "sealed"), ("retiring_secrets", "sealed"))
_INSERT: Final = """
insert into keys (name, wrapped) values (:name, :wrapped) on conflict (name) do nothing
"""


def get_or_make(tx: Transaction, master: SealingKey, dice: Dice, name: str) -> bytes:
    """The key of that name; made now if there is none. Two makers agree on one."""
    tx.execute(_INSERT, {"name": name, "wrapped": master.seal(name, dice.bytes(KEY_BYTES))})
    row = tx.row("select wrapped from keys where name = :name", {"name": name})
    assert row is not None
    return master.open(name, bytes(row["wrapped"]))


def rewrap(tx: Transaction, old: SealingKey, new: SealingKey) -> int:
    """Put every wrapped key and secret under a new master key; returns how many there were."""
    count = 0
    for table, column in _WRAPPED:
        for row in tx.rows(f"select name, {column} as body from {table}"):  # noqa: S608  fixed names
            plain = old.open(row["name"], bytes(row["body"]))
            tx.execute(
                f"update {table} set {column} = :body where name = :name",  # noqa: S608  fixed names
                {"body": new.seal(row["name"], plain), "name": row["name"]},
            )
            count += 1
    return count


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of this database, opened on demand and kept in memory."""

    db: Database
    master: SealingKey
    dice: Dice
    opened: dict[str, bytes]

    async def _key(self, name: str) -> bytes:
        found = self.opened.get(name)
        if found is None:
            found = await self.db.write(lambda tx: get_or_make(tx, self.master, self.dice, name))
            self.opened[name] = found
        return found

    async def payload_key(self, team: TeamName) -> bytes:
        """The key under which a team's payloads are hashed."""
        return await self._key(f"payloads:{team}")

    async def pseudonyms(self, team: TeamName) -> Pseudonyms:
        """The stand-ins for values a team's record must not hold."""
        return Pseudonyms(await self._key(f"pseudonyms:{team}"))

    async def team_key(self, team: TeamName) -> SealingKey:
        """The key that wraps the sealing keys of a team's runs."""
        return SealingKey(await self._key(f"sealed:{team}"), self.dice)

    async def ledger_signer(self) -> Signer:
        """The key that signs ledger heads."""
        return Signer.from_seed(await self._key("ledger"))

    async def replies_key(self) -> bytes:
        """The key behind what is kept of idempotency keys and their answers."""
        return await self._key("replies")

    async def people_key(self) -> bytes:
        """The key behind the credentials of runs that people's own clients act in."""
        return await self._key("people")

    async def cookie_key(self) -> bytes:
        """The key that signs console sessions."""
        return await self._key("cookies")

    async def mcp_key(self) -> SealingKey:
        """The key that seals what MCP clients carry for us: sessions, states, questions."""
        return SealingKey(await self._key("mcp"), self.dice)


def list_names(tx: Reading) -> list[str]:
    """The names of all wrapped keys."""
    return [row["name"] for row in tx.rows("select name from keys order by name")]
