"""The budgets an action touches: its agent's, its team's, the fleet's, and its tool's rates."""

from collections.abc import Mapping

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.checkpoint.stages import Ruling
from quarterdeck.domain.budgets import rate_windows, windows
from quarterdeck.domain.fleets import Cap
from quarterdeck.domain.ids import BudgetId
from quarterdeck.domain.tools import Tool
from quarterdeck.sources import datetime_of, day_of


def windows_of(binding: Binding, ruling: Ruling, now: int) -> Mapping[BudgetId, Cap | None]:
    """The windows of an action; an agent whose tools have no rates pays nothing for rates."""
    found = _of_the_day(binding, now)
    tool = ruling.contract
    if isinstance(tool, Tool) and tool.rates:
        agent = binding.agent.name
        return {**found, **rate_windows(tool.name, agent, tool.rates, datetime_of(now))}
    return found


def _of_the_day(binding: Binding, now: int) -> Mapping[BudgetId, Cap | None]:
    """What every action of this agent touches; it is the same all day."""
    day = day_of(now)
    found = binding.windows.get(day)
    if found is None:
        fleet, agent = binding.fleet, binding.agent
        caps = {
            "fleet": fleet.caps,
            f"team:{agent.team}": fleet.teams.get(agent.team, ()),
            f"agent:{agent.name}": agent.caps,
        }
        binding.windows.clear()
        found = binding.windows[day] = windows(caps, datetime_of(now))
    return found
