"""Passing out one action for a client that may hang up at any moment.

A client that goes takes its effect with it. What is not known then is said: a reading is settled as
failed, a write that may have happened is in doubt. A settlement that has begun is never cancelled.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from quarterdeck.checkpoint.checkpoint import Checkpoint, execute
from quarterdeck.domain.actions import Cleared, Done, Effect, InDoubt, Outcome, Proposal, Receipt
from quarterdeck.domain.tools import Tool

T = TypeVar("T")
_HUNG_UP: Final = "the client hung up"


@dataclass(slots=True)
class Passing:
    """Passes actions through the checkpoint, and knows which settlements have not ended."""

    checkpoint: Checkpoint
    _tasks: "set[asyncio.Task[Any]]" = field(default_factory=set)

    async def out(self, proposal: Proposal, effect: Effect) -> Outcome:
        """As `Checkpoint.carry_out`, for a caller that may be cancelled."""
        admission = await self.checkpoint.admit(proposal)
        if not isinstance(admission, Cleared):
            return admission
        try:
            receipt = await execute(effect, admission)
        except asyncio.CancelledError:
            self._start(self._abandon(admission))
            raise
        if isinstance(receipt, InDoubt):
            await self._unbroken(self._doubt(admission, "timeout"))
            return receipt
        return await self._unbroken(self.settle(admission, receipt))

    async def settle(self, cleared: Cleared, receipt: Receipt) -> Done:
        """Settle; what cannot be settled is in doubt."""
        try:
            return await self.checkpoint.settle(cleared, receipt)
        except Exception:
            # Whatever broke, the effect took place: what is still open is in doubt, then swept.
            await self._doubt(cleared, "settlement failed")
            raise

    async def _abandon(self, cleared: Cleared) -> None:
        contract = cleared.contract
        if isinstance(contract, Tool) and contract.effect in ("write", "privileged"):
            await self._doubt(cleared, _HUNG_UP)
            return
        receipt = Receipt(
            status="failed",
            result=b"",
            cost_nanousd=cleared.bound.nanousd,
            usage_source="estimated",
            detail={"error": _HUNG_UP},
        )
        await self.settle(cleared, receipt)

    async def _doubt(self, cleared: Cleared, because: str) -> None:
        await self.checkpoint.doubt(cleared.action.id, self.checkpoint.process, because=because)

    def _start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _unbroken(self, work: Coroutine[Any, Any, T]) -> T:
        """Go on even if whoever waits is cancelled."""
        return await asyncio.shield(self._start(work))

    async def drain(self) -> None:
        """Wait until all have ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
