"""Replies: a request repeated under its idempotency key happens once, and is answered again.

INVARIANT: an answer is kept in the transaction of the change it answers, or not at all.
It may hold a secret that is shown once. So the key itself is kept nowhere, only a hash of it, and
the answer is sealed under a key that is made of it: without the sender's key it cannot be opened.
"""

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from quarterdeck.domain.errors import Conflict, LimitExceeded
from quarterdeck.domain.limits import REPLIES_MAX, REPLY_BYTES_MAX, REPLY_SECONDS
from quarterdeck.domain.people import Caller
from quarterdeck.keys import SealingKey
from quarterdeck.sources import Clock, Dice
from quarterdeck.store import replies
from quarterdeck.store.database import Database, Row, T, Transaction, WriteFunction
from quarterdeck.store.keys import Keyring

_MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it goes over the wire."""

    status: int
    body: bytes = field(repr=False)


class Replayed(Exception):
    """This request was answered before; the answer is in here."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("answered before")
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that carries a key, as far as it is recorded."""

    caller: str
    key: bytes
    digest: bytes
    seal: SealingKey = field(repr=False)

    def reply_in(self, row: Row) -> Reply:
        """The answer in a row; raises Conflict if that was to another request."""
        if bytes(row["digest"]) != self.digest:
            raise Conflict(
                "this idempotency key was used for another request",
                hint="use a new key for a new request",
            )
        body = self.seal.open(self.caller, bytes(row["sealed"]))
        return Reply(status=row["status"], body=body)

    def row(self, reply: Reply) -> dict[str, Any]:
        """The row of an answer."""
        return {
            "caller": self.caller,
            "key": self.key,
            "digest": self.digest,
            "status": reply.status,
            "sealed": self.seal.seal(self.caller, reply.body),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """Makes a change happen once for its idempotency key; without one, every time it is asked."""

    asked: Asked | None = None
    render: Callable[[Any], Reply] | None = None

    def answering(self, render: Callable[[Any], Reply]) -> "Once":
        """The same, with how the outcome of the change is written as an answer."""
        return replace(self, render=render)

    def writing(self, change: WriteFunction[T], outcome: Any = None) -> WriteFunction[T]:
        """The change with its answer, in one transaction. Raises Replayed the next time."""
        asked, render = self.asked, self.render
        if asked is None or render is None:
            return change
        reply = render(outcome)

        def write(tx: Transaction) -> T:
            replies.forget(tx, tx.now - REPLY_SECONDS * _MICROS)
            if not replies.insert(tx, asked.row(reply)):
                row = replies.find(tx, asked.caller, asked.key)
                assert row is not None, "it was in the way a moment ago"
                raise Replayed(asked.reply_in(row))
            if replies.count(tx, asked.caller) > REPLIES_MAX:
                raise LimitExceeded(
                    f"more than {REPLIES_MAX} idempotency keys in {REPLY_SECONDS // 3600} hours",
                    hint="send keys only with requests that you would repeat",
                )
            return change(tx)

        return write


EVERY_TIME = Once()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """The use cases of repeated requests."""

    db: Database
    keyring: Keyring
    clock: Clock
    dice: Dice
    _under_way: set[tuple[str, bytes]] = field(default_factory=set)

    @asynccontextmanager
    async def once(self, caller: Caller, key: str | None, request: bytes) -> AsyncIterator[Once]:
        """Serve one request; raises Replayed, or Conflict while the same one is under way."""
        if key is None:
            yield EVERY_TIME
            return
        asked = await self._asked(caller, key, request)
        place = (asked.caller, asked.key)
        if place in self._under_way:
            raise Conflict(
                "a request with this idempotency key is still under way",
                hint="wait for its answer, or ask again in a moment",
            )
        self._under_way.add(place)
        try:
            await self._replay(asked)
            yield Once(asked=asked)
        finally:
            self._under_way.discard(place)

    async def amend(self, once: Once, reply: Reply) -> None:
        """Answer the next time with how it ended, not with how it began."""
        asked = once.asked
        if asked is not None and len(reply.body) <= REPLY_BYTES_MAX:
            await self.db.write(lambda tx: replies.amend(tx, asked.row(reply)))

    async def _replay(self, asked: Asked) -> None:
        row = await self.db.read(lambda tx: replies.find(tx, asked.caller, asked.key))
        if row is not None and row["at"] > self.clock.micros() - REPLY_SECONDS * _MICROS:
            raise Replayed(asked.reply_in(row))

    async def _asked(self, caller: Caller, key: str, request: bytes) -> Asked:
        secret = await self.keyring.replies_key()
        owner = caller.id.encode() + b"\0"
        return Asked(
            caller=caller.id,
            key=hmac.digest(secret, b"key\0" + owner + key.encode(), "sha256"),
            digest=hmac.digest(secret, b"request\0" + request, "sha256"),
            seal=SealingKey(
                hmac.digest(secret, b"seal\0" + owner + key.encode(), "sha256"), self.dice
            ),
        )
