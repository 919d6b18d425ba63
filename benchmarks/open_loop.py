"""An open-loop load generator: calls begin at their own times, whatever became of those before.

Latency counts from the moment a call was meant to begin, so waiting for a free connection, or for
the generator itself, is inside every figure: nothing is left out because the target was slow
("coordinated omission"). Arrivals are Poisson, from a fixed seed: the same for every target.
"""

import asyncio
import contextlib
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.load import Client

CONNECTIONS_MAX = 256
GRACE_SECONDS = 2.0
FOLLOWED = 0.98  # of what was offered must be answered in time, or the target cannot follow
WAITED_MS_MAX = 1000.0  # a queue that is this long at the median grows


@dataclass(frozen=True)
class Steady:
    """What calls at a fixed mean rate showed. Times in ms, sorted."""

    offered: int
    times_ms: Sequence[float]
    late_ms: Sequence[float]
    failed: int

    @property
    def followed(self) -> bool:
        """Whether the target kept up."""
        kept = len(self.times_ms) >= FOLLOWED * self.offered
        return kept and percentile(self.times_ms, 0.5) < WAITED_MS_MAX

    def __add__(self, other: "Steady") -> "Steady":
        return Steady(
            self.offered + other.offered,
            sorted([*self.times_ms, *other.times_ms]),
            sorted([*self.late_ms, *other.late_ms]),
            self.failed + other.failed,
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which so large a share lies; not a number where there is nothing."""
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the start at which calls are meant to begin."""
    dice, at, found = random.Random(seed), 0.0, []
    while (at := at + dice.expovariate(rate)) < seconds:
        found.append(at)
    return found


async def steady(
    port: int,
    request: bytes | Callable[[], bytes],
    *,
    rate: float,
    seconds: float,
    seed: int = 1,
) -> Steady:
    """Offer the same call, or the next one, at a mean rate for some seconds.

    What is not answered by then, is not.
    """
    due = arrivals(rate, seconds, seed)
    following = request if callable(request) else lambda: request
    offering = _Offering(port, following, len(due))
    began = time.perf_counter() + 0.05
    timer = threading.Thread(
        target=_tell,
        args=(asyncio.get_running_loop(), offering, [began + at for at in due]),
        daemon=True,
    )
    timer.start()
    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            await offering.over.wait()
    except TimeoutError:
        pass
    finally:
        offering.close()
    return Steady(
        len(due), sorted(offering.times_ms), sorted(offering.late_ms), failed=offering.failed
    )


def _tell(loop: asyncio.AbstractEventLoop, offering: "_Offering", due: list[float]) -> None:
    """Runs in a thread: timers of an event loop are good to a millisecond, which is too coarse."""
    for moment in due:
        if (left := moment - time.perf_counter()) > 0:
            time.sleep(left)
        if offering.closed:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(offering.begin, moment)


class _Offering:
    def __init__(self, port: int, following: Callable[[], bytes], count: int) -> None:
        self.port, self.following, self.left = port, following, count
        self.times_ms: list[float] = []
        self.late_ms: list[float] = []
        self.failed = 0
        self.over = asyncio.Event()
        self.closed = False
        self._idle: list[Client] = []
        self._opened: set[Client] = set()
        self._connections = 0
        self._waiting: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, moment: float) -> None:
        """A call is due: on a free connection, a new one, or as soon as one is free."""
        if self.closed:
            return
        self.late_ms.append((time.perf_counter() - moment) * 1000)
        self._waiting.append(moment)
        if self._idle or self._connections < CONNECTIONS_MAX:
            client = self._idle.pop() if self._idle else None
            self._connections += client is None
            task = asyncio.ensure_future(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Client | None) -> None:
        """Make calls on one connection as long as any wait."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            moment = self._waiting.popleft()
            status = 0
            with contextlib.suppress(OSError):
                if client is None or client.lost:
                    _, client = await loop.create_connection(Client, "127.0.0.1", self.port)
                    self._opened.add(client)
                status = await client.ask(self.following())
            if status == 200:
                self.times_ms.append((time.perf_counter() - moment) * 1000)
            else:
                self.failed += 1
            self.left -= 1
            if not self.left:
                self.over.set()
        if client is None or client.lost:
            self._connections -= 1
        else:
            self._idle.append(client)

    def close(self) -> None:
        """Nothing more is begun; what is under way is let go."""
        self.closed = True
        for task in self._tasks:
            task.cancel()
        for client in self._opened:
            client.transport.abort()
