"""Blast radius: the most each agent in force could do in one hour, beside what it declares."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quarterdeck.checkpoint.bindings import Binding, Bindings
from quarterdeck.domain.blast_radius import (
    COUNTED,
    BlastRadius,
    Line,
    Quantity,
    amounts,
    computed,
    figure_words,
    judged,
)
from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.domain.radius import Radius


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadii:
    """The use cases of blast radius."""

    bindings: Bindings

    async def list_all(self, caller: Caller) -> list[dict[str, Any]]:
        """Of every agent in force, by name."""
        authorise(caller, "read")
        fleet = await self.bindings.in_force()
        if fleet is None:
            return []
        return [
            shown(Binding(agent=agent, fleet=fleet))
            for _, agent in sorted(fleet.agents.items())
            if caller.sees(agent.team)
        ]

    async def of(self, caller: Caller, agent: str) -> dict[str, Any]:
        """Of one agent."""
        authorise(caller, "read")
        binding = await self.bindings.agent_in_force(agent)
        if not caller.sees(binding.agent.team):
            raise NotFound(f"no agent `{agent}`", hint="see `quarterdeck agents list`")
        return shown(binding)


def shown(binding: Binding) -> dict[str, Any]:
    """What was computed of an agent, with its declared radius and what the rule says of both."""
    agent = binding.agent
    found = computed(agent, binding.fleet)
    return {
        "agent": agent.name,
        "team": agent.team,
        "autonomy": agent.autonomy,
        "judgement": judged(agent, found),
        "figures": list(_figures(found, agent.radius)),
        "data": sorted(found.data),
        "data_declared": None if agent.radius is None else sorted(agent.radius.data),
        "servers": list(found.servers),
        "shared_limit": None if found.shared is None else found.shared.words,
        "tools": [_line(line) for line in found.lines],
    }


def _figures(found: BlastRadius, declared: Radius | None) -> Iterator[dict[str, Any]]:
    """Money first, then what is counted; a currency that is only declared stands there too."""
    currencies = set(found.money()) | set({} if declared is None else declared.money)
    for quantity in (*sorted(currencies), *COUNTED):
        most = found.figures.get(quantity, Decimal(0))
        open_tools = [str(line.tool.name) for line in found.unbounded_by(quantity)]
        yield {
            "quantity": quantity,
            "words": figure_words(quantity),
            "most": None if most is None else _plain(most),
            "declared": _declared(declared, quantity),
            "asked": any(line.asks and line.of(quantity) for line in found.lines),
            "unbounded_by": open_tools if most is None else [],
            "would_bound": _would_bound(open_tools) if most is None else None,
        }


def _declared(declared: Radius | None, quantity: Quantity) -> str | None:
    if declared is None:
        return None
    if quantity in COUNTED:
        return str(getattr(declared, quantity))
    return declared.money.get(quantity, "0")


def _would_bound(tools: list[str]) -> str:
    named = ", ".join(f"`{name}`" for name in tools)
    each = "a rate on each of" if len(tools) > 1 else "a rate on"
    return f"{each} {named}, or a budget of the agent in calls"


def _line(line: Line) -> dict[str, Any]:
    return {
        "tool": line.tool.name,
        "effect": line.tool.effect,
        "calls": None if line.limit is None else line.limit.calls,
        "limit": None if line.limit is None else line.limit.words,
        "taken": line.taken,
        "asks": line.asks,
        "each": {name: _plain(amount) for name, amount in amounts(line.tool).items()},
        "data": sorted(line.tool.data),
    }


def _plain(amount: Decimal) -> str:
    """A figure in digits, without an exponent and without zeros that say nothing."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
