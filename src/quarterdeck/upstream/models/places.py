"""Places at one vendor entry: how many calls may be under way, shared fairly between agents.

An agent may hold AGENT_CALLS_PER_FREE_PLACE times as many places as it leaves free: alone it gets
three quarters, two get three sevenths each, and one that holds none always finds one. So an agent
whose calls hang takes no place from another. Who finds none waits for a while; a place that comes
free goes to the waiting agent that holds the fewest.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from quarterdeck.domain.ids import AgentName
from quarterdeck.domain.limits import (
    AGENT_CALLS_PER_FREE_PLACE,
    VENDOR_WAIT_SECONDS_MAX,
    VENDOR_WAITING_MAX,
)


@dataclass(slots=True)
class Places:
    """Who holds how many, and who waits. Without waiting there is nothing to do but count."""

    taken: int = 0
    waiting: int = 0
    _held: dict[AgentName, int] = field(default_factory=dict)
    _queues: dict[AgentName, deque[asyncio.Future[None]]] = field(default_factory=dict)

    def take(self, agent: AgentName, places: int) -> bool:
        """Take a place, if there is one for this agent and none of its own calls waits for it."""
        if agent in self._queues or not self._may_take(agent, places):
            return False
        self._count(agent)
        return True

    async def wait(self, agent: AgentName, places: int) -> bool:
        """Wait for a place; false if none came in time, or too many wait already."""
        if self.waiting >= VENDOR_WAITING_MAX:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(agent, deque()).append(turn)
        self.waiting += 1
        try:
            async with asyncio.timeout(VENDOR_WAIT_SECONDS_MAX):
                await turn
        except TimeoutError:
            # A place that came in the same moment is the caller's all the same.
            return self._is_given(agent, turn)
        except asyncio.CancelledError:
            if self._is_given(agent, turn):
                self.give_back(agent, places)
            raise
        return True

    def give_back(self, agent: AgentName, places: int) -> None:
        """A call has ended: its place goes to whoever waits and may take it."""
        self.taken -= 1
        held = self._held[agent] - 1
        if held:
            self._held[agent] = held
        else:
            del self._held[agent]
        while self._queues and (nearest := self._nearest(places)) is not None:
            turn = self._queues[nearest].popleft()
            self._forget(nearest)
            if not turn.done():  # else whoever waited has just left
                self._count(nearest)
                turn.set_result(None)

    def _may_take(self, agent: AgentName, places: int) -> bool:
        free = places - self.taken
        return free > 0 and self._held.get(agent, 0) < AGENT_CALLS_PER_FREE_PLACE * free

    def _count(self, agent: AgentName) -> None:
        self.taken += 1
        self._held[agent] = self._held.get(agent, 0) + 1

    def _nearest(self, places: int) -> AgentName | None:
        """The waiting agent that holds the fewest, of those that may take a place."""
        able: Iterator[AgentName] = (a for a in self._queues if self._may_take(a, places))
        return min(able, key=lambda agent: self._held.get(agent, 0), default=None)

    def _is_given(self, agent: AgentName, turn: asyncio.Future[None]) -> bool:
        """Whether the place was given already; if not, this turn no longer waits."""
        if turn.done() and not turn.cancelled():
            return True
        queue = self._queues.get(agent)
        if queue is not None and turn in queue:
            queue.remove(turn)
            self._forget(agent)
        return False

    def _forget(self, agent: AgentName) -> None:
        """One turn less; a queue without turns is no queue."""
        self.waiting -= 1
        if not self._queues[agent]:
            del self._queues[agent]
