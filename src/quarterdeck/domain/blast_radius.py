"""Blast radius: the most an agent could do in one hour (SPEC CH-7), computed and never guessed.

What one call may do is in its contract; how often it can be made follows from rates and budgets.
An hour is one of the clock (UTC), as rates and budgets count it: any sixty minutes touch two.
Deliberately absent: what agents usually do. Turns and runs bound nothing here, because an agent may
have any number of runs; nor does a person who is asked, because they may say yes each time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from quarterdeck.domain.fleets import Agent, Cap, Fleet
from quarterdeck.domain.money import usd
from quarterdeck.domain.radius import Radius
from quarterdeck.domain.tools import DataClass, RatePeriod, Tool

#: What is counted: `written`, `deleted`, `messages`, or a currency.
Quantity: TypeAlias = str
#: How much of it in one hour; `None` where nothing bounds it.
Figure: TypeAlias = Decimal | None

COUNTED: Final = ("written", "deleted", "messages")
_WORDS: Final[Mapping[Quantity, str]] = {
    "written": "records written",
    "deleted": "records deleted",
    "messages": "messages sent",
}
_WRITES: Final = ("write", "privileged")
_UNTAKEN: Final = ("L0", "L1")
_PER_HOUR: Final[Mapping[RatePeriod, int]] = {"minute": 60, "hour": 1, "day": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What bounds how often a tool can be called in one hour, in words too."""

    calls: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One tool in an hour: what one call does, how often it can be made, and what says so.

    Where it is not `taken`, an agent at this level only suggests it; where it `asks`, a person
    says yes to each call.
    """

    tool: Tool
    limit: Limit | None
    taken: bool
    asks: bool

    def of(self, quantity: Quantity) -> Decimal:
        """How much of a quantity one call may do."""
        return amounts(self.tool).get(quantity, Decimal(0)) if self.taken else Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """The most of one agent in one hour, and the lines it is the sum of.

    `shared` bounds the calls of all tools together. `servers` are those whose resources it may
    read: no contract says what data they hold.
    """

    figures: Mapping[Quantity, Figure]
    data: frozenset[DataClass]
    lines: tuple[Line, ...]
    shared: Limit | None
    servers: tuple[str, ...]

    def money(self) -> dict[str, Figure]:
        """By currency."""
        return {name: most for name, most in self.figures.items() if name not in COUNTED}

    def unbounded_by(self, quantity: Quantity) -> tuple[Line, ...]:
        """The tools that make a figure unbounded: a rate on each of them would bound it."""
        return tuple(line for line in self.lines if line.of(quantity) and line.limit is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A figure above what was declared, and the lines it comes from, the largest first."""

    quantity: Quantity
    most: Figure
    declared: Decimal
    lines: tuple[Line, ...]


def amounts(tool: Tool) -> dict[Quantity, Decimal]:
    """What one call may do at the most; only what is more than nothing."""
    found: dict[Quantity, Decimal] = {
        "written": Decimal(tool.records.written),
        "deleted": Decimal(tool.records.deleted),
        "messages": Decimal(tool.messages),
    }
    for moves in tool.moves:
        found[moves.currency] = found.get(moves.currency, Decimal(0)) + Decimal(moves.most)
    return {quantity: amount for quantity, amount in found.items() if amount}


def figure_words(quantity: Quantity) -> str:
    """A quantity as people say it."""
    return _WORDS.get(quantity, f"{quantity} moved")


def writes(tool: Tool) -> bool:
    """Whether a grant of it needs a declared radius."""
    return tool.effect in _WRITES or bool(amounts(tool))


def computed(agent: Agent, fleet: Fleet) -> BlastRadius:
    """The most an agent could do in one hour, from contracts, rates and budgets alone."""
    caps = list(_caps(agent, fleet))
    lines = tuple(_line(fleet.tools[name], agent, caps) for name in agent.tools)
    shared = min(_shared(caps), key=lambda limit: limit.calls, default=None)
    counted = {*COUNTED, *(q for line in lines for q in amounts(line.tool))}
    return BlastRadius(
        figures={quantity: _figure(quantity, lines, shared) for quantity in sorted(counted)},
        data=frozenset().union(*(line.tool.data for line in lines if line.taken)),
        lines=lines,
        shared=shared,
        servers=tuple(sorted(n for n, grant in agent.servers.items() if grant.resources)),
    )


def _figure(quantity: Quantity, lines: Iterable[Line], shared: Limit | None) -> Figure:
    """All tools called as often as they can be; what they share goes to those that do most."""
    left = None if shared is None else shared.calls
    most = Decimal(0)
    for line in sorted(lines, key=lambda line: -line.of(quantity)):
        amount = line.of(quantity)
        if not amount:
            break
        calls = left if line.limit is None else line.limit.calls
        if calls is None:
            return None
        if left is not None:
            calls = min(calls, left)
            left -= calls
        most += calls * amount
    return most


def _line(tool: Tool, agent: Agent, caps: Iterable[tuple[str, Cap]]) -> Line:
    limits = [*_rates(tool), *_money(tool, caps), *_shared(caps)]
    return Line(
        tool=tool,
        limit=min(limits, key=lambda limit: limit.calls, default=None),
        taken=tool.effect not in _WRITES or agent.autonomy not in _UNTAKEN,
        asks=tool.confirm or tool.effect == "privileged",
    )


def _caps(agent: Agent, fleet: Fleet) -> Iterator[tuple[str, Cap]]:
    """Every budget an action of the agent is held against, with whose it is."""
    for whose, caps in (
        ("the agent's", agent.caps),
        ("the team's", fleet.teams.get(agent.team, ())),
        ("the fleet's", fleet.caps),
    ):
        yield from ((whose, cap) for cap in caps)


def _rates(tool: Tool) -> Iterator[Limit]:
    for rate in tool.rates:
        words = f"its rate of {_times(rate.calls)} per {rate.per}"
        yield Limit(calls=rate.calls * _PER_HOUR[rate.per], words=words)


def _money(tool: Tool, caps: Iterable[tuple[str, Cap]]) -> Iterator[Limit]:
    """A cap in money bounds the calls of what costs something: hours lie within its period."""
    for whose, cap in caps:
        if cap.unit == "nanousd" and tool.cost_nanousd:
            words = f"{whose} budget of {usd(cap.amount)} USD per {cap.period}"
            words += f", at {usd(tool.cost_nanousd)} USD a call"
            yield Limit(calls=cap.amount // tool.cost_nanousd, words=words)


def _shared(caps: Iterable[tuple[str, Cap]]) -> Iterator[Limit]:
    for whose, cap in caps:
        if cap.unit == "calls":
            words = f"{whose} budget of {_times(cap.amount)} per {cap.period}"
            yield Limit(calls=cap.amount, words=words)


def _times(calls: int) -> str:
    return f"{calls} call{'' if calls == 1 else 's'}"


def excesses(declared: Radius, found: BlastRadius) -> tuple[Excess, ...]:
    """Where the computed radius is above the declared one; what is not declared is zero."""
    said = {name: Decimal(amount) for name, amount in declared.money.items()}
    said |= {name: Decimal(getattr(declared, name)) for name in COUNTED}
    return tuple(
        Excess(
            quantity=quantity,
            most=most,
            declared=said.get(quantity, Decimal(0)),
            lines=_largest(quantity, found.lines),
        )
        for quantity, most in found.figures.items()
        if most is None or most > said.get(quantity, Decimal(0))
    )


def _largest(quantity: Quantity, lines: Iterable[Line]) -> tuple[Line, ...]:
    def in_an_hour(line: Line) -> Decimal:
        calls = Decimal("Infinity") if line.limit is None else line.limit.calls
        return calls * line.of(quantity)

    return tuple(
        sorted((line for line in lines if line.of(quantity)), key=in_an_hour, reverse=True)
    )


Judgement: TypeAlias = Literal["undeclared", "above", "within", "needless"]


def judged(agent: Agent, found: BlastRadius) -> Judgement:
    """What the rule at `apply` makes of it; `needless` where nothing is granted that writes."""
    if agent.radius is None:
        granted = any(writes(line.tool) for line in found.lines)
        return "undeclared" if granted else "needless"
    above = excesses(agent.radius, found) or found.data - agent.radius.data
    return "above" if above else "within"
