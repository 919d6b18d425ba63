"""The only doubles: a clock that steps, ids that count, dice with a seed."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class SteppingClock:
    """A clock that moves a millisecond each time it is read, and as far as a test pushes it."""

    time: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """The time."""
        self.time += timedelta(milliseconds=1)
        return self.time

    def micros(self) -> int:
        """Microseconds since the epoch."""
        return int(self.now().timestamp() * 1_000_000)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return self.now().timestamp()

    def push(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


@dataclass
class CountingIds:
    """Ids that count."""

    count: int = 0

    def new(self, prefix: str) -> str:
        """The next id."""
        self.count += 1
        return f"{prefix}_{self.count:026d}"


@dataclass
class SeededDice:
    """Chance that repeats."""

    seed: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def bytes(self, count: int) -> bytes:
        """Pseudo-random bytes."""
        return self._random.randbytes(count)

    def token(self) -> str:
        """A pseudo-random secret."""
        return self.bytes(32).hex()
