"""An agent's card: what it can do, what it cannot, and how to correct it, in one paragraph (ID-5).

Whoever answers for an agent should be able to hold all of it in mind. A card too long for that is
not shortened: it says that the agent may do too much.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from quarterdeck.domain.blast_radius import BlastRadius, Line, computed
from quarterdeck.domain.fleets import Agent, Cap, Fleet
from quarterdeck.domain.limits import CARD_WORDS_MAX
from quarterdeck.domain.money import usd

_LEVELS: Final = {
    "L0": "only drafts",
    "L1": "suggests its writes; a person carries them out",
    "L2": "makes low-risk writes within its bounds",
    "L3": "works through several steps within its rules",
    "L4": "works continuously under continuous evaluation",
}
_DEEDS: Final = {
    "written": ("write", "records"),
    "deleted": ("delete", "records"),
    "messages": ("send", "messages"),
}
_WRITES: Final = ("write", "privileged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The paragraph, and what is wrong with it, if it is too long to be read."""

    text: str
    warning: str | None


def card_of(agent: Agent, fleet: Fleet) -> Card:
    """The card of an agent."""
    text = " ".join(_sentences(agent, computed(agent, fleet)))
    words = len(text.split())
    if words <= CARD_WORDS_MAX:
        return Card(text=text, warning=None)
    return Card(
        text=text,
        warning=f"this card has {words} words, more than the {CARD_WORDS_MAX} that anybody reads:"
        " take tools away, or make two agents of it",
    )


def _sentences(agent: Agent, found: BlastRadius) -> Iterator[str]:
    yield _can(agent, found) + "."
    if asked := [str(line.tool.name) for line in found.lines if line.asks and line.taken]:
        yield f"Each call of {_listed(asked)} asks a person first."
    if any(line.tool.effect in _WRITES for line in found.lines):
        yield f"In one hour it can {_reach(found)}."
    yield f"It spends at most {'; '.join(_cap(c) for c in agent.caps) or 'no cap of its own'}."
    yield "It can do nothing else: every other tool, model, resource and prompt is denied."
    yield (
        f"To correct it, ask {agent.owner}, or change agents/{agent.name}.yaml and apply;"
        " until then its runs go on as they were."
    )


def _can(agent: Agent, found: BlastRadius) -> str:
    models = _listed([model.model for model in agent.models])
    said = [f"{agent.name} ({agent.autonomy}: {_LEVELS[agent.autonomy]}) may ask {models}"]
    writing, other = _split(found.lines)
    if other:
        said.append(f"use {_listed(other)}")
    if writing:
        verb = "suggest" if agent.autonomy in ("L0", "L1") else "write with"
        said.append(f"{verb} {_listed(writing)}")
    if found.servers:
        said.append(f"read resources of {_listed(found.servers)}")
    return "; ".join(said)


def _split(lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """The tools that write, and the others."""
    writing = [str(line.tool.name) for line in lines if line.tool.effect in _WRITES]
    return writing, [str(line.tool.name) for line in lines if line.tool.effect not in _WRITES]


def _reach(found: BlastRadius) -> str:
    """The figures that are more than nothing, in words."""
    said = []
    for currency, most in sorted(found.money().items()):
        if most is None or most:
            said.append(f"move {_up_to(most)} {currency}")
    for quantity, deed in _DEEDS.items():
        if (most := found.figures[quantity]) is None or most:
            verb, noun = deed
            said.append(f"{verb} {_up_to(most)} {noun}")
    return _listed(said) or "do none of this by itself"


def _up_to(most: Decimal | None) -> str:
    return "any number of" if most is None else f"at most {most:f}"


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _cap(cap: Cap) -> str:
    amount = f"{usd(cap.amount)} USD" if cap.unit == "nanousd" else f"{cap.amount} {cap.unit}"
    return f"{amount} a {cap.period}"
