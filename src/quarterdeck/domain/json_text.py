"""Whether bytes are JSON that every reader here takes, without making values of what is long.

Reading a megabyte into objects holds the event loop for ten milliseconds; looking through it takes
one. What is looked through only may later be read, so whatever a reader refuses is refused here:
lone surrogates, depth, and numbers that are no double.
"""

from typing import Final

import msgspec
import orjson
import re2

_SHORT_BYTES: Final = 16 * 1024
#: Numbers that may be beyond a double: hundreds of digits, or an exponent of three.
_LARGE: Final = re2.compile(rb"[0-9]{300}|[0-9.][eE][+]?[0-9]{3}")


def is_json(text: bytes) -> bool:
    """Whether it is one JSON value in UTF-8."""
    try:
        if len(text) > _SHORT_BYTES and _LARGE.search(text) is None:
            msgspec.json.decode(text, type=msgspec.Raw)
            text.decode()
        else:
            orjson.loads(text)
    except (msgspec.DecodeError, orjson.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
