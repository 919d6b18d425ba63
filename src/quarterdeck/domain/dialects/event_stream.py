"""Amazon's event stream, a binary framing: each message cut out and given as one JSON object,
`{"TYPE":PAYLOAD}`, whatever the chunks it came in. Checksums are the SDK's business at the end.
"""

import re
from typing import Final

from quarterdeck.domain.dialects.sse import EVENT_BYTES_MAX

_PRELUDE_BYTES: Final = 12
_LEAST: Final = 16  # prelude, no headers, no payload, checksum
# A header is the length of its name, its name, type 7 (a string), the length of its value, value.
_TYPE: Final = re.compile(
    rb"(?:\x0b:event-type|\x0f:exception-type|\x0b:error-code)\x07(..)", re.DOTALL
)
_NAME: Final = re.compile(rb"[A-Za-z0-9_.-]{1,64}")


class EventStream:
    """Takes chunks, gives the messages they complete."""

    __slots__ = ("_tail", "passing")

    def __init__(self) -> None:
        self._tail = bytearray()
        #: What came is no such stream, or a message passes the limit: nothing more is read.
        self.passing = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages this chunk completes."""
        if self.passing:
            return [chunk] if chunk else []
        self._tail += chunk
        found: list[bytes] = []
        at = 0
        while len(self._tail) - at >= _PRELUDE_BYTES:
            size = int.from_bytes(self._tail[at : at + 4], "big")
            headers = int.from_bytes(self._tail[at + 4 : at + 8], "big")
            if not _LEAST <= size <= EVENT_BYTES_MAX or headers > size - _LEAST:
                self.passing = True
                found.append(bytes(self._tail[at:]))
                self._tail.clear()
                return found
            if len(self._tail) - at < size:
                break
            start = at + _PRELUDE_BYTES
            payload = bytes(self._tail[start + headers : at + size - 4])
            found.append(_as_json(bytes(self._tail[start : start + headers]), payload))
            at += size
        del self._tail[:at]
        return found

    def rest(self) -> bytes:
        """What broke off inside a message says nothing."""
        return b""


def _as_json(headers: bytes, payload: bytes) -> bytes:
    found = _TYPE.search(headers)
    name = b"unknown"
    if found is not None:
        end = found.end() + int.from_bytes(found[1], "big")
        named = headers[found.end() : end]
        name = named if _NAME.fullmatch(named) else name
    return b'{"%b":%b}' % (name, payload or b"{}")
