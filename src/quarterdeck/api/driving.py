"""Runs that this process drives by itself: each in a task that is kept, and that ends its run.

INVARIANT: a run started here ends, whatever happens to what drives it: an error, a stop of the
server, or nobody waiting for the answer any more.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from quarterdeck.domain.errors import Conflict, QuarterdeckError
from quarterdeck.domain.people import Caller
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.orchestration.runner import Runner
from quarterdeck.services.runs import Runs, StartedRun

_log = structlog.get_logger("api")
_RETRY_SECONDS: Final = (0.2, 1.0, 3.0)  # while the database is away for a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Driving:
    """Drives runs in the background and sees them to their end."""

    runs: Runs
    runner: Runner
    _tasks: "set[asyncio.Task[RunOutcome]]" = field(default_factory=set)

    def start(
        self, caller: Caller, started: StartedRun, given: dict[str, Any]
    ) -> "asyncio.Task[RunOutcome]":
        """Drive a run in a task of its own; await it (shielded) to wait for the outcome."""
        task = asyncio.create_task(self._drive(caller, started, given), name=started.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self) -> None:
        """Stop what still runs; every one of these runs is ended as failed first."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drive(
        self, caller: Caller, started: StartedRun, given: dict[str, Any]
    ) -> RunOutcome:
        try:
            outcome = await self.runner.drive(started, given)
        except asyncio.CancelledError:
            outcome = RunOutcome(state="failed", because="the server stopped while it was running")
        except QuarterdeckError as error:
            outcome = RunOutcome(state="failed", because=error.message)
        except Exception:  # noqa: BLE001  around a run: it must end, and the log says why
            _log.exception("run_broke_off", run=started.id)
            outcome = RunOutcome(state="failed", because="an unexpected error; see the log")
        await self._end(caller, started, outcome)
        return outcome

    async def _end(self, caller: Caller, started: StartedRun, outcome: RunOutcome) -> None:
        for seconds in (*_RETRY_SECONDS, None):
            try:
                await self.runs.end(caller, started.id, outcome)
                return
            except Conflict:
                return  # somebody ended it meanwhile; their word stands
            except QuarterdeckError as error:
                if seconds is None:
                    _log.error("run_not_ended", run=started.id, error=error.message)
                    return
                await asyncio.sleep(seconds)
