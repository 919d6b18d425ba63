"""Secrets: set, rotate, list by name, remove. A value goes in and never comes out here."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from quarterdeck.domain.errors import Conflict, Invalid, NotFound, Overtaken
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import (
    NAME_CHARACTERS_MAX,
    SECRET_OVERLAP_SECONDS_DEFAULT,
    SECRET_OVERLAP_SECONDS_MAX,
)
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.keys import SealingKey
from quarterdeck.services.replies import EVERY_TIME, Once
from quarterdeck.sources import Clock, Dice, datetime_of
from quarterdeck.store import ledger, secrets
from quarterdeck.store.database import Database, Transaction

#: When the secret was set that the caller has seen; `None` among them: when there was none.
Expected: TypeAlias = frozenset[int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The use cases of secrets."""

    db: Database
    master: SealingKey
    clock: Clock
    dice: Dice

    async def put(
        self, caller: Caller, name: str, value: str, *, expected: Expected | None = None
    ) -> int:
        """Set or replace a secret; returns when. With `expected`, only what the caller has seen."""
        authorise_whole(caller, "secrets")
        _check_name(name)
        _check_value(value, "set")

        def write(tx: Transaction) -> int:
            _check(tx, name, expected)
            secrets.put(tx, self.master, name, value.strip(), by=caller.id)
            self._record(tx, "secret_set", name, caller)
            return tx.now

        return await self.db.write(write)

    async def rotate(
        self,
        caller: Caller,
        name: str,
        value: str,
        *,
        overlap_seconds: int | None = None,
        once: Once = EVERY_TIME,
    ) -> None:
        """Replace a secret; the value of before stands in for the overlap where the new is refused.

        A secret that is not set cannot be rotated, and a value is not rotated to itself: nothing
        would have changed, and the list would say it had.
        """
        authorise_whole(caller, "secrets")
        _check_value(value, "rotate")
        if overlap_seconds is None:
            overlap_seconds = SECRET_OVERLAP_SECONDS_DEFAULT
        if not 0 <= overlap_seconds <= SECRET_OVERLAP_SECONDS_MAX:
            days = SECRET_OVERLAP_SECONDS_MAX // 86_400
            raise Invalid("that overlap is not allowed", hint=f"use 0 seconds to {days} days")

        def write(tx: Transaction) -> None:
            kept = secrets.find_kept(tx, self.master, name)
            if kept is None:
                raise NotFound(f"no secret `{name}`", hint=f"run: quarterdeck secrets set {name}")
            if kept.value == value.strip():
                raise Conflict(f"`{name}` has that value already", hint="rotate it to a new one")
            until = tx.now + overlap_seconds * 1_000_000
            secrets.rotate(tx, self.master, name, value.strip(), until=until, by=caller.id)
            self._record(tx, "secret_rotated", name, caller)

        await self.db.write(once.writing(write))

    async def remove(self, caller: Caller, name: str, *, expected: Expected | None = None) -> None:
        """Forget a secret; with `expected`, only what the caller has seen."""
        authorise_whole(caller, "secrets")

        def write(tx: Transaction) -> None:
            _check(tx, name, expected)
            if not secrets.remove(tx, name):
                raise NotFound(f"no secret `{name}`", hint="see `quarterdeck secrets list`")
            self._record(tx, "secret_removed", name, caller)

        await self.db.write(write)

    async def list_names(self, caller: Caller) -> list[dict[str, Any]]:
        """Names, when each was set and how old that is, and until when its old value is good."""
        authorise_whole(caller, "read")
        rows, now = await self.db.read(secrets.list_names), self.clock.micros()
        return [
            dict(row)
            | {
                "age_days": age_days(row["set_at"], now),
                "before_until": row["before_until"] if (row["before_until"] or 0) > now else None,
            }
            for row in rows
        ]

    def _record(self, tx: Transaction, kind: str, name: str, caller: Caller) -> None:
        entry = Entry(kind=kind, subject=name, body={"secret": name, "by": caller.id})
        ledger.append(tx, entry, self.dice.bytes(NONCE_BYTES))


def age_days(set_at: int, now: int) -> int:
    """How old a value is, in whole days."""
    return max(0, now - set_at) // 86_400_000_000


def _check_name(name: str) -> None:
    if not name.replace("_", "").replace("-", "").isalnum() or len(name) > NAME_CHARACTERS_MAX:
        raise Invalid(f"`{name}` is not a name of a secret", hint="use letters, digits, - and _")


def _check_value(value: str, command: str) -> None:
    if not value.strip():
        hint = f"pipe it in: quarterdeck secrets {command} NAME < FILE"
        raise Invalid("the value is empty", hint=hint)


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
