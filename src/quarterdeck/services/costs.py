"""Costs: what was charged, by day, team, agent and target; what budgets have left."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.sources import Clock
from quarterdeck.store import budgets, fleets, tallies
from quarterdeck.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The use cases of costs."""

    db: Database
    clock: Clock

    async def summary(
        self, caller: Caller, *, by: tuple[str, ...], days: int
    ) -> list[dict[str, Any]]:
        """Charges of the last `days` days (UTC, today included), summed by columns."""
        authorise(caller, "read")
        if unknown := set(by) - set(tallies.GROUPS):
            raise Invalid(
                f"cannot sum by `{sorted(unknown)[0]}`", hint=f"use {', '.join(tallies.GROUPS)}"
            )
        if not 1 <= days <= 3660:
            raise Invalid(f"`{days}` days is out of range", hint="use 1 to 3660")
        today = self.clock.now().date()
        since = (today - timedelta(days=days - 1)).isoformat()
        rows = await self.db.read(
            lambda tx: tallies.summed(tx, by, since, today.isoformat(), team=caller.team or "")
        )
        return [dict(row) for row in rows if row["actions"]]

    async def _is_of(self, caller: Caller, scope: str) -> bool:
        """Whether a scope belongs to the caller's team."""
        noun, _, name = scope.partition(":")
        if noun != "agent":
            return noun == "team" and name == caller.team
        agents = await self.db.read(fleets.list_agents)
        return any(row["name"] == name and caller.sees(row["team"]) for row in agents)

    async def budgets_of(self, caller: Caller, scope: str) -> list[dict[str, Any]]:
        """The windows of a scope such as `agent:triage`: cap, charged, held, what is left."""
        authorise(caller, "read")
        if caller.team is not None and not await self._is_of(caller, scope):
            return []
        found = await self.db.read(lambda tx: budgets.list_open(tx, scope))
        return [
            {
                "id": b.id,
                "cap": b.cap,
                "charged": b.charged,
                "held": b.held,
                "overrun": b.overrun,
                "room": b.room(),
            }
            for b in found
        ]
