"""Secrets: set, list by name, remove. A value goes in and never comes out here."""

from dataclasses import dataclass

from quarterdeck.domain.errors import Invalid, NotFound
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import NAME_CHARACTERS_MAX
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.keys import SealingKey
from quarterdeck.sources import Dice
from quarterdeck.store import ledger, secrets
from quarterdeck.store.database import Database, Row, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The use cases of secrets."""

    db: Database
    master: SealingKey
    dice: Dice

    async def put(self, caller: Caller, name: str, value: str) -> None:
        """Set or replace a secret."""
        authorise(caller, "secrets")
        if not name.replace("_", "").replace("-", "").isalnum() or len(name) > NAME_CHARACTERS_MAX:
            raise Invalid(
                f"`{name}` is not a name of a secret", hint="use letters, digits, - and _"
            )
        if not value.strip():
            raise Invalid(
                "the value is empty", hint="pipe it in: quarterdeck secrets set NAME < FILE"
            )

        def write(tx: Transaction) -> None:
            secrets.put(tx, self.master, name, value.strip())
            self._record(tx, "secret_set", name, caller)

        await self.db.write(write)

    async def remove(self, caller: Caller, name: str) -> None:
        """Forget a secret."""
        authorise(caller, "secrets")

        def write(tx: Transaction) -> None:
            if not secrets.remove(tx, name):
                raise NotFound(f"no secret `{name}`", hint="see `quarterdeck secrets list`")
            self._record(tx, "secret_removed", name, caller)

        await self.db.write(write)

    async def list_names(self, caller: Caller) -> list[Row]:
        """Names and when each was set."""
        authorise(caller, "read")
        return await self.db.read(secrets.list_names)

    def _record(self, tx: Transaction, kind: str, name: str, caller: Caller) -> None:
        entry = Entry(kind=kind, subject=name, body={"secret": name, "by": caller.id})
        ledger.append(tx, entry, self.dice.bytes(NONCE_BYTES))
