"""Secrets: set, list by name, remove. A value goes in and never comes out here."""

from dataclasses import dataclass
from typing import TypeAlias

from quarterdeck.domain.errors import Invalid, NotFound, Overtaken
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import NAME_CHARACTERS_MAX
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.keys import SealingKey
from quarterdeck.sources import Dice, datetime_of
from quarterdeck.store import ledger, secrets
from quarterdeck.store.database import Database, Row, Transaction

#: When the secret was set that the caller has seen; `None` among them: when there was none.
Expected: TypeAlias = frozenset[int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The use cases of secrets."""

    db: Database
    master: SealingKey
    dice: Dice

    async def put(
        self, caller: Caller, name: str, value: str, *, expected: Expected | None = None
    ) -> int:
        """Set or replace a secret; returns when. With `expected`, only what the caller has seen."""
        authorise_whole(caller, "secrets")
        if not name.replace("_", "").replace("-", "").isalnum() or len(name) > NAME_CHARACTERS_MAX:
            raise Invalid(
                f"`{name}` is not a name of a secret", hint="use letters, digits, - and _"
            )
        if not value.strip():
            raise Invalid(
                "the value is empty", hint="pipe it in: quarterdeck secrets set NAME < FILE"
            )

        def write(tx: Transaction) -> int:
            _check(tx, name, expected)
            secrets.put(tx, self.master, name, value.strip(), by=caller.id)
            self._record(tx, "secret_set", name, caller)
            return tx.now

        return await self.db.write(write)

    async def remove(self, caller: Caller, name: str, *, expected: Expected | None = None) -> None:
        """Forget a secret; with `expected`, only what the caller has seen."""
        authorise_whole(caller, "secrets")

        def write(tx: Transaction) -> None:
            _check(tx, name, expected)
            if not secrets.remove(tx, name):
                raise NotFound(f"no secret `{name}`", hint="see `quarterdeck secrets list`")
            self._record(tx, "secret_removed", name, caller)

        await self.db.write(write)

    async def list_names(self, caller: Caller) -> list[Row]:
        """Names and when each was set."""
        authorise_whole(caller, "read")
        return await self.db.read(secrets.list_names)

    def _record(self, tx: Transaction, kind: str, name: str, caller: Caller) -> None:
        entry = Entry(kind=kind, subject=name, body={"secret": name, "by": caller.id})
        ledger.append(tx, entry, self.dice.bytes(NONCE_BYTES))


def _check(tx: Transaction, name: str, expected: Expected | None) -> None:
    """Raise Overtaken unless the secret is as the caller has seen it."""
    if expected is None:
        return
    row = secrets.find_set(tx, name)
    set_at = None if row is None else int(row["set_at"])
    if set_at in expected:
        return
    hint = "look when each was set (GET /v1/secrets), then set it again"
    if row is None:
        raise Overtaken(f"the secret `{name}` is not there any more", hint=hint)
    when = datetime_of(row["set_at"]).strftime("%Y-%m-%d %H:%M:%S UTC")
    raise Overtaken(f"`{row['set_by'] or 'somebody'}` has set `{name}` ({when})", hint=hint)
