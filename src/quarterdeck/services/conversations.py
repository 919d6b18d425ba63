"""Conversations: what one model call said that the call before had not, and what came back."""

from dataclasses import dataclass
from typing import Any

import orjson

from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.limits import (
    ADDED_PARTS_MAX,
    COMPARED_PARTS_MAX,
    EARLIER_PARTS_MAX,
)
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.services.actions import doubt_of, links_of, listed
from quarterdeck.store import actions, conversations
from quarterdeck.store.conversations import Link
from quarterdeck.store.database import Database, Reading, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a request by its place; `bytes` is its length as recorded."""

    place: int
    value: Any
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A request against the one before: `shared` parts are the same, those after are new.

    `parts` begin at `start`, which is before `shared` if earlier ones were asked for. `replaced` is
    what stood in the place of the first new part; `dropped` counts what the request before had.
    """

    action: dict[str, Any]
    total: int
    shared: int
    start: int
    parts: tuple[Part, ...]
    replaced: Part | None
    dropped: int
    rest: Any
    rest_before: Any
    before: str
    response: Any
    response_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """The use cases of reading what was said."""

    db: Database

    async def show(self, caller: Caller, action: str, *, earlier: int = 0) -> Turn:
        """One action with what its request added; `earlier` parts before that too."""
        authorise(caller, "read")
        count = max(0, min(earlier, EARLIER_PARTS_MAX))
        return await self.db.read(lambda tx: _turn(tx, _found(tx, caller, action), count))

    async def recorded(self, caller: Caller, action: str, side: str) -> bytes:
        """The redacted bytes of an action's `request` or `answer`, as recorded."""
        authorise(caller, "read")

        def read(tx: Reading) -> bytes:
            row = _found(tx, caller, action)
            if side == "answer":
                if row["response"] is None:
                    raise NotFound(f"nothing came back of action `{action}`")
                return conversations.body(tx, row["response"])
            if row["request"] is None:
                raise NotFound(f"nothing is kept of what action `{action}` asked")
            return _whole_request(tx, row["request"])

        return await self.db.read(read)


def _found(tx: Reading, caller: Caller, action: str) -> Row:
    row = actions.find(tx, action)
    if row is None or not caller.sees(row["team"]):
        raise NotFound(f"no action `{action}`", hint="see `quarterdeck actions list RUN`")
    return row


def _listed(tx: Reading, row: Row) -> dict[str, Any]:
    shown = listed(row)
    return shown | {"doubt": doubt_of(tx, shown)}


def _whole_request(tx: Reading, request: str) -> bytes:
    """Every part as recorded, one a line, then the rest: nothing is written anew."""
    link = conversations.find_link(tx, request)
    parts = [
        conversations.body(tx, one)
        for one in conversations.hashes(
            tx, link, max(0, link.total - COMPARED_PARTS_MAX), link.total
        )
    ]
    rest = [] if link.rest is None else [conversations.body(tx, link.rest)]
    return b"\n".join((*parts, *rest))


def _turn(tx: Reading, row: Row, earlier: int) -> Turn:
    if row["request"] is None:
        return _unsaid(tx, row)
    link = conversations.find_link(tx, row["request"])
    previous = (
        conversations.find_previous(tx, row["run"], row["id"]) if row["kind"] == "model" else None
    )
    shared, before = _shared(tx, link, previous)
    start = max(shared, link.total - ADDED_PARTS_MAX) if not earlier else max(0, shared - earlier)
    stop = min(link.total, shared + ADDED_PARTS_MAX) if earlier else link.total
    hashes = conversations.hashes(tx, link, start, stop)
    replaced = None
    if before is not None and shared < before.total and shared < link.total:
        was = conversations.hashes(tx, before, shared, shared + 1)
        replaced = _part(tx, shared, was[0]) if was else None
    response, length = _response(tx, row)
    rest = None if link.rest is None else _value(conversations.body(tx, link.rest))
    return Turn(
        action=_listed(tx, row) | links_of(tx, [row["id"]])[row["id"]],
        total=link.total,
        shared=shared,
        start=start,
        parts=tuple(_part(tx, start + n, found) for n, found in enumerate(hashes)),
        replaced=replaced,
        dropped=0 if before is None else max(0, before.total - shared),
        rest=rest,
        rest_before=_rest_before(tx, before, link),
        before="" if previous is None else previous["id"],
        response=response,
        response_bytes=length,
    )


def _unsaid(tx: Reading, row: Row) -> Turn:
    """An action of which nothing was kept but its row: nobody is asked about such a one."""
    return Turn(
        action=_listed(tx, row),
        total=0,
        shared=0,
        start=0,
        parts=(),
        replaced=None,
        dropped=0,
        rest=None,
        rest_before=None,
        before="",
        response=None,
        response_bytes=0,
    )


def _shared(tx: Reading, link: Link, previous: Row | None) -> tuple[int, Link | None]:
    """How many parts this request has in common with the one before, and that one's link."""
    if previous is None:
        return 0, None
    if link.parent is not None:
        return link.keep, conversations.find_link(tx, link.parent)
    # A process that did not know the run before wrote the request whole: compare.
    before = conversations.find_link(tx, previous["request"])
    if max(link.total, before.total) > COMPARED_PARTS_MAX:
        return 0, before
    old = conversations.hashes(tx, before, 0, before.total)
    new = conversations.hashes(tx, link, 0, link.total)
    if len(old) < before.total or len(new) < link.total:
        return 0, before
    same = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        same += 1
    return same, before


def _rest_before(tx: Reading, before: Link | None, link: Link) -> Any:
    if before is None or before.rest is None or before.rest == link.rest:
        return None
    return _value(conversations.body(tx, before.rest))


def _response(tx: Reading, row: Row) -> tuple[Any, int]:
    if row["response"] is None:
        return None, 0
    body = conversations.body(tx, row["response"])
    return _value(body), len(body)


def _part(tx: Reading, place: int, payload: str) -> Part:
    body = conversations.body(tx, payload)
    return Part(place=place, value=_value(body), bytes=len(body))


def _value(body: bytes) -> Any:
    """JSON as it is; anything else as text."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
