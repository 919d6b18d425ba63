"""Suggestions: which of them nobody can carry out any more, and why. Pure."""

from collections.abc import Iterable

from quarterdeck.domain.fleets import Fleet
from quarterdeck.domain.ids import AgentName, ToolName

RESTORED = "it was suggested before a restore; whether it was carried out since is not known here"


def void_because(fleet: Fleet | None, agent: str, tool: str) -> str:
    """Why the fleet in force lets nobody carry out what an agent suggested; empty if it does.

    It is carried out at the revision that suggested it, but nobody means to keep a call alive by
    taking its agent or its grant away. Given back, the suggestion is open again.
    """
    found = None if fleet is None else fleet.agents.get(AgentName(agent))
    if found is None:
        return f"the fleet has no agent `{agent}` any more"
    if ToolName(tool) not in found.tools:
        return f"`{agent}` is not granted `{tool}` any more"
    return ""


def void_of(fleet: Fleet | None, some: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of some agents and tools whose suggestions are void."""
    return [(agent, tool) for agent, tool in some if void_because(fleet, agent, tool)]
