"""Cursors: where a page of a list ended, as text that only we read.

A cursor names the last item, not how many came before it: a list that grows meanwhile shows nothing
twice and leaves nothing out.
"""

import base64
import binascii

import orjson

from quarterdeck.domain.errors import NotFound


def write(*place: str) -> str:
    """The cursor of a place: the keys a list is sorted by."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def read(cursor: str, keys: int = 1) -> tuple[str, ...]:
    """The place of a cursor; empty for the beginning of the list."""
    if not cursor:
        return ()
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise _unknown() from error
    if (
        not isinstance(place, list)
        or len(place) != keys
        or not all(isinstance(key, str) and key and "\0" not in key for key in place)
    ):
        raise _unknown()
    return tuple(place)


def read_one(cursor: str) -> str:
    """The place of a cursor of a list that is sorted by one key; empty for the beginning."""
    return "".join(read(cursor))


def _unknown() -> NotFound:
    return NotFound("no page `cursor` of this list", hint="send the `next` of the page before")
