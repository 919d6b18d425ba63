"""Runs ticks: each at its interval, never beside itself; an error never ends the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from quarterdeck.domain.errors import QuarterdeckError

_log = structlog.get_logger("loops")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One bounded, idempotent function and how often it runs."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]


async def repeat(tick: Tick) -> None:
    """Run a tick for ever. It may die anywhere and run twice (I-12)."""
    while True:
        try:
            await tick.run()
        except QuarterdeckError as error:  # a database that is away for a while: no stack, no alarm
            _log.warning("tick_failed", tick=tick.name, error=error.message)
        except Exception:  # noqa: BLE001  around a loop's tick: said, and tried again
            _log.exception("tick_failed", tick=tick.name)
        await asyncio.sleep(tick.seconds)
