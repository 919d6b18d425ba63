"""Where time, ids and randomness enter. Nothing else may ask the machine for them."""

import os
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Protocol

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u


class Clock(Protocol):
    """Wall-clock time, aware UTC, and a monotonic one for durations."""

    def now(self) -> datetime:
        """The time, aware UTC."""

    def micros(self) -> int:
        """The time in whole microseconds since the epoch, as it is stored."""

    def monotonic(self) -> float:
        """Seconds that only grow; for durations."""


class Ids(Protocol):
    """New ids: a prefix that says the noun, then something unique that sorts by time."""

    def new(self, prefix: str) -> str:
        """A new id such as `run_01j…`."""


class Dice(Protocol):
    """Unpredictable bytes."""

    def bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""

    def token(self) -> str:
        """A 256-bit secret, URL-safe."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, aware UTC."""
        return datetime.now(UTC)

    def micros(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    # Seconds that only grow. Asked ten times a call: the function itself, not one that calls it.
    monotonic = staticmethod(time.perf_counter)


class _Pool(threading.local):
    """Random bytes drawn ahead, a page at a time: a system call costs more than a nonce."""

    def __init__(self) -> None:
        self.drawn = b""
        self.used = 0

    def take(self, count: int) -> bytes:
        """Bytes that nobody got before; each thread has a pool of its own."""
        end = self.used + count
        if end > len(self.drawn):
            if count > _POOL_BYTES:
                return os.urandom(count)
            self.drawn, self.used, end = os.urandom(_POOL_BYTES), 0, count
        taken = self.drawn[self.used : end]
        self.used = end
        return taken


_POOL_BYTES: Final = 4096
_POOL: Final = _Pool()


_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


def _base32(value: int, pairs: int) -> str:
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(10 * pairs - 10, -1, -10)])


@dataclass(slots=True)
class TimeSortedIds:
    """Ids of 26 characters after the prefix: 50 bits of milliseconds, 80 random bits (as ULID).

    Within a millisecond the random part only grows, so that what one process makes is in order.
    """

    _last: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new(self, prefix: str) -> str:
        """A new id, greater than any this object made before."""
        fresh = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(_POOL.take(10))
        with self._lock:
            if fresh >> 80 <= self._last >> 80:
                fresh = self._last + 1 + int.from_bytes(_POOL.take(4))
            self._last = fresh
        return id_of(prefix, fresh)


def id_of(prefix: str, number: int) -> str:
    """The id that writes this number: its milliseconds from bit 80 up, chance below."""
    return f"{prefix}_{_base32(number, 13)}"


ID_CHARACTERS: Final = 30  # of a run's or an action's: `run_` and 26 more
_SLACK_MICROS: Final = 120 * 1_000_000


def earliest_id(micros: int, prefix: str = "run") -> str:
    """An id before that of anything begun at this time or later.

    Ids are made a moment before what they name is begun, and by another clock.
    """
    return id_of(prefix, max(0, micros - _SLACK_MICROS) // 1000 << 80)


def latest_id(micros: int, prefix: str = "run") -> str:
    """An id after that of anything begun before this time."""
    return id_of(prefix, (max(0, micros + _SLACK_MICROS) // 1000 + 1 << 80) - 1)


@dataclass(frozen=True, slots=True)
class SystemDice:
    """The operating system's randomness."""

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        return _POOL.take(count)

    def token(self) -> str:
        """A 256-bit secret."""
        return secrets.token_urlsafe(32)


def datetime_of(micros: int) -> datetime:
    """The stored form of a time as an aware UTC datetime."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC)


@lru_cache(maxsize=64)
def _date_of(days: int) -> str:
    return datetime.fromtimestamp(days * 86_400, UTC).date().isoformat()


def day_of(micros: int) -> str:
    """The UTC day of a stored time, as `2026-11-21`."""
    return _date_of(micros // 86_400_000_000)
