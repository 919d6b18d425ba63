"""Settlements on their way: each a task of its own, so that no hang-up cancels one."""

import asyncio
from dataclasses import dataclass, field

import structlog

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.domain.errors import Conflict

_log = structlog.get_logger("settling")


@dataclass(slots=True)
class Settling:
    """Starts settlements and knows which have not ended."""

    checkpoint: Checkpoint
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    def start(self, cleared: Cleared, receipt: Receipt) -> "asyncio.Task[None]":
        """Settle in a task that nothing of the caller cancels."""
        task = asyncio.get_running_loop().create_task(self._settle(cleared, receipt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _settle(self, cleared: Cleared, receipt: Receipt) -> None:
        try:
            await self.checkpoint.settle(cleared, receipt, patient=True)
        except Conflict:
            _log.warning("settled_before", action=cleared.action.id)
        except Exception:  # noqa: BLE001  around an effect: said loudly, then in doubt, never silent
            _log.exception("settlement_failed", action=cleared.action.id)
            # Our own process is alive, so no sweep would ever take this one for orphaned.
            process = self.checkpoint.process
            await self.checkpoint.doubt(cleared.action.id, process, because="settlement failed")

    async def drain(self) -> None:
        """Wait until all have ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
