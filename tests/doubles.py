"""The only doubles: a clock that steps, ids that count, dice with a seed, a database away."""

import random
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from quarterdeck.domain.errors import Unavailable
from quarterdeck.store.database import Database, Needs, ReadFunction, T, WriteFunction, nothing


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


@dataclass
class AwayDatabase:
    """A database that reads and cannot write: away, or full."""

    inner: Database
    dialect: str = "sqlite"

    async def write(
        self, fn: WriteFunction[T], *, needs: Needs = nothing, patient: bool = False
    ) -> T:
        """Refuse, as the real ones do when they cannot commit."""
        raise Unavailable("the database could not commit: disk full", hint="free some space")

    def read(self, fn: ReadFunction[T]) -> Awaitable[T]:
        """Read."""
        return self.inner.read(fn)

    async def close(self) -> None:
        """Close."""
        await self.inner.close()
