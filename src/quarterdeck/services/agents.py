"""Agents: who is in the fleet, and each one's card of permissions (SPEC ID-5)."""

from dataclasses import dataclass
from typing import Any

from quarterdeck.checkpoint.bindings import Binding, Bindings
from quarterdeck.domain.cards import card_of
from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.fleets import Model
from quarterdeck.domain.people import Caller, authorise


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    """The use cases of agents."""

    bindings: Bindings

    async def list_all(self, caller: Caller) -> list[dict[str, Any]]:
        """Agents in force, by name."""
        authorise(caller, "read")
        fleet = await self.bindings.in_force()
        if fleet is None:
            return []
        return [
            _listed(Binding(agent=agent, fleet=fleet))
            for _, agent in sorted(fleet.agents.items())
            if caller.sees(agent.team)
        ]

    async def show(self, caller: Caller, agent: str) -> dict[str, Any]:
        """One agent: its card, its models with prices, its tools with their effect classes."""
        authorise(caller, "read")
        binding = await self.bindings.agent_in_force(agent)
        if not caller.sees(binding.agent.team):
            raise NotFound(f"no agent `{agent}`", hint="see `quarterdeck agents list`")
        shown = _listed(binding)
        card = card_of(binding.agent, binding.fleet)
        shown["card"] = card.text
        shown["card_warning"] = card.warning
        shown["prompt"] = binding.agent.prompt
        shown["tools"] = [
            {
                "name": name,
                "effect": (tool := binding.fleet.tools[name]).effect,
                "trust": tool.trust,
                "description": tool.description,
            }
            for name in binding.agent.tools
        ]
        return shown


def _listed(binding: Binding) -> dict[str, Any]:
    agent = binding.agent
    return {
        "name": agent.name,
        "team": agent.team,
        "owner": agent.owner,
        "purpose": agent.purpose,
        "autonomy": agent.autonomy,
        "critical": agent.critical,
        "revision": agent.revision,
        "models": [_model(model) for model in agent.models],
        "tools": list(agent.tools),
        "caps": [{"unit": c.unit, "per": c.period, "amount": c.amount} for c in agent.caps],
    }


def _model(model: Model) -> dict[str, Any]:
    second = model.fallback
    return {
        "role": model.role,
        "vendor": model.vendor,
        "model": model.model,
        "fallback": second and {"vendor": second.vendor, "model": second.model},
    }
