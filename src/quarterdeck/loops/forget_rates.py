"""Forgets the windows of tools' rates once they are over: a rate by the minute opens 1440 a day."""

from datetime import timedelta
from typing import Final

from quarterdeck.domain.budgets import window_start
from quarterdeck.sources import Clock, datetime_of
from quarterdeck.store import budgets
from quarterdeck.store.database import Database

#: So long a window is kept after its end: longer than clocks differ and any hold lives.
KEPT: Final = timedelta(hours=1)


async def forget_rates(db: Database, clock: Clock) -> int:
    """Forget what is over and holds nothing; how many windows that were."""
    cut = datetime_of(clock.micros()) - KEPT
    before = {
        "minute": window_start("minute", cut),
        "hour": window_start("hour", cut),
        "day": window_start("day", cut),
    }
    if not await db.read(lambda tx: budgets.has_rates_over(tx, before)):
        return 0
    return await db.write(lambda tx: budgets.forget_rates(tx, before))
