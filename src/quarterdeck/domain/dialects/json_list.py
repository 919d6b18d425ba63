"""A stream that is one JSON list, `[{…}\\n,\\n{…}]`: cut into its items as they come.

Depth is counted outside strings, byte by byte where it can change and nowhere else.
"""

import re
from typing import Final

from quarterdeck.domain.dialects.sse import EVENT_BYTES_MAX

_TURNS: Final = re.compile(rb'[{}\[\]"\\]')
_QUOTE, _ESCAPE = ord('"'), ord("\\")
_OPENING: Final = frozenset(b"{[")


class JsonList:
    """Takes chunks, gives complete items of the list."""

    __slots__ = ("_at", "_depth", "_in_text", "_start", "_tail", "passing")

    def __init__(self) -> None:
        self._tail = bytearray()
        self._at = 0  # how far the tail was looked at
        self._start = -1  # where the item in the making begins
        self._depth = 0
        self._in_text = False
        self.passing = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The items this chunk completes."""
        if self.passing:
            return [chunk] if chunk else []
        self._tail += chunk
        found: list[bytes] = []
        while (turn := _TURNS.search(self._tail, self._at)) is not None:
            if not self._turn(turn.start(), found):
                break
        else:
            self._at = len(self._tail)
        self._drop()
        if len(self._tail) > EVENT_BYTES_MAX:
            self.passing = True
            found.append(bytes(self._tail))
            self._tail.clear()
        return found

    def rest(self) -> bytes:
        """What broke off inside an item says nothing."""
        return b""

    def _turn(self, at: int, found: list[bytes]) -> bool:
        """Take note of one byte that may change the depth; False if the next one is needed."""
        byte = self._tail[at]
        if byte == _ESCAPE:
            if at + 1 >= len(self._tail):
                self._at = at
                return False
            self._at = at + 2
            return True
        self._at = at + 1
        if byte == _QUOTE:
            self._in_text = not self._in_text
        elif not self._in_text:
            self._depth += 1 if byte in _OPENING else -1
            if byte in _OPENING and self._depth == 2:
                self._start = at
            elif byte not in _OPENING and self._depth == 1 and self._start >= 0:
                found.append(bytes(self._tail[self._start : at + 1]))
                self._start = -1
        return True

    def _drop(self) -> None:
        """Forget what no item in the making needs."""
        done = self._at if self._start < 0 else self._start
        del self._tail[:done]
        self._at -= done
        self._start = -1 if self._start < 0 else 0
