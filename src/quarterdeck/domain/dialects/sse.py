"""Server-sent events, split into the raw bytes of each event, whatever the chunks they came in.

The slices put together are the stream, byte for byte: what is not withheld is passed on unchanged.
Time is linear in the stream; memory is one incomplete event. Ends of line are LF, CRLF or CR.
An event that ends in two bare CRs is held until one more byte shows that no LF belongs to it.
"""

import re
from typing import Final

EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
# Atomic, so that one CRLF is never taken for two ends of line.
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")


class Splitter:
    """Takes chunks, gives complete events."""

    __slots__ = ("_limit", "_returns", "_scanned", "_tail", "passing")

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._limit = event_bytes_max
        self._tail = bytearray()
        self._scanned = 0
        self._returns = False  # a CR was seen; until then ends of line are found ten times as fast
        #: An event was larger than the limit: from there on chunks pass as they come, unsplit.
        self.passing = False

    @property
    def rest(self) -> bytes:
        """The bytes of the incomplete tail."""
        return bytes(self._tail)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events this chunk completes, each with its terminating blank line."""
        if self.passing:
            return [chunk] if chunk else []
        self._returns = self._returns or b"\r" in chunk
        if not (self._tail or self._returns) and chunk.find(b"\n\n") == len(chunk) - 2 >= 0:
            return [chunk]  # by far the most common: one whole event
        split = _split if self._returns else _split_lf
        if self._tail:
            self._tail += chunk
            events, at = split(self._tail, self._scanned)
            del self._tail[:at]
        else:
            events, at = split(chunk, 0)
            self._tail += chunk[at:] if at else chunk
        # A blank line is at most four bytes, so one that was cut begins in the last three.
        self._scanned = max(0, len(self._tail) - 3)
        if len(self._tail) > self._limit:
            self.passing = True
            events.append(bytes(self._tail))
            self._tail.clear()
        return events


def data_of(event: bytes) -> bytes:
    """What an event carries: its data lines joined, without their field names; empty if none."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    lines = []
    for line in event.removeprefix(_BOM).splitlines():
        name, colon, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" ") if colon else b"")
    return b"\n".join(lines)


def _split(buffer: bytes | bytearray, scanned: int) -> tuple[list[bytes], int]:
    """The events in a buffer, and where its incomplete tail begins."""
    events = []
    start, search = 0, scanned
    while found := _BLANK_LINE.search(buffer, search):
        end = found.end()
        if end == len(buffer) and buffer[-1] == 13:
            break  # the LF of a CRLF may be in the next chunk
        events.append(bytes(buffer[start:end]))
        start = search = end
    return events, start


def _split_lf(buffer: bytes | bytearray, scanned: int) -> tuple[list[bytes], int]:
    """The same where there is no CR."""
    events = []
    start, search = 0, scanned
    while (at := buffer.find(b"\n\n", search)) >= 0:
        events.append(bytes(buffer[start : at + 2]))
        start = search = at + 2
    return events, start
