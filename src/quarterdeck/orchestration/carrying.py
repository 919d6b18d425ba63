"""Single calls that people and plans ask for: carried out to their settlement, whoever hangs up.

INVARIANT: a call that was begun here ends, though nobody waits for the answer any more.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from quarterdeck.checkpoint import plans
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.plans import Carried
from quarterdeck.domain.actions import Outcome, Proposal
from quarterdeck.upstream.tools.call import ToolCalls

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrying:
    """Carries out calls of tools, each in a task that nothing of its asker cancels."""

    checkpoint: Checkpoint
    tools: ToolCalls
    _tasks: "set[asyncio.Task[object]]" = field(default_factory=set)

    async def call(self, proposal: Proposal) -> Outcome:
        """Carry out one call."""
        return await self._kept(self.checkpoint.carry_out(proposal, self.tools.use))

    async def plan(self, credential: str, plan: str) -> Carried:
        """Carry out a plan in order, up to the first call that is not done."""
        return await self._kept(plans.carry_out(self.checkpoint, credential, plan, self.tools.use))

    async def drain(self) -> None:
        """Wait until all have ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _kept(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)
