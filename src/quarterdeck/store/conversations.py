"""Reading a stored conversation from its end: what one request added, and as much before as asked.

A request is a link: its parent, how many parts it keeps of it, what it adds. The last links are
read and no more, so the 20,000th turn of a run opens like the first.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.store import payloads
from quarterdeck.store.database import Reading, Row

LINKS_READ_MAX: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A stored request: `keep` parts of its parent, then `parts`; all of them are hashes."""

    parent: str | None
    keep: int
    parts: tuple[str, ...]
    rest: str | None

    @property
    def total(self) -> int:
        """How many parts the request has."""
        return self.keep + len(self.parts)


def find_link(tx: Reading, request: str) -> Link:
    """The link a request is stored as."""
    read: dict[str, Any] = orjson.loads(payloads.get(tx, request))
    return Link(
        parent=read["parent"], keep=read["keep"], parts=tuple(read["parts"]), rest=read["rest"]
    )


def hashes(tx: Reading, link: Link, start: int, stop: int) -> list[str]:
    """The hashes of parts `start` to `stop`; fewer, from `start` on, if they lie too far back."""
    found: dict[int, str] = {}
    upto, current = min(stop, link.total), link
    for _ in range(LINKS_READ_MAX):
        for place in range(max(start, current.keep), min(upto, current.total)):
            found[place] = current.parts[place - current.keep]
        upto = min(upto, current.keep)
        if current.parent is None or upto <= start:
            break
        current = find_link(tx, current.parent)
    return [found[place] for place in sorted(found)]


def find_previous(tx: Reading, run: str, action: str) -> Row | None:
    """The model call of the run before this one that was sent."""
    return tx.row(
        "select id, target, request, response from actions where run = :run and id < :action"
        " and kind = 'model' and request is not null order by id desc limit 1",
        {"run": run, "action": action},
    )


def body(tx: Reading, payload: str) -> bytes:
    """The redacted bytes of a part, as recorded."""
    return payloads.get(tx, payload)
