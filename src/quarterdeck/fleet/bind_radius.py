"""The rule at `check` and `apply`: an agent that may write declares how much, and can do no more.

It is not part of loading: what is stored was applied, and a rule that came later takes no running
fleet away.
"""

from typing import Final

from quarterdeck.domain.blast_radius import (
    COUNTED,
    BlastRadius,
    Excess,
    amounts,
    computed,
    excesses,
    figure_words,
    judged,
    writes,
)
from quarterdeck.domain.fleets import Agent, Fleet
from quarterdeck.domain.ids import AgentName
from quarterdeck.fleet.bind import WRITES
from quarterdeck.fleet.problems import Path, quoted
from quarterdeck.fleet.schema import AgentEntry
from quarterdeck.fleet.sheets import Folder, Sheet, present

_RATE: Final = "rates: [{calls: 30, per: hour}]"


def check(folder: Folder, fleet: Fleet) -> None:
    """Note every agent whose writes are not bounded by what it declares."""
    granted = {name for agent in fleet.agents.values() for name in agent.tools}
    for tool in fleet.tools.values():
        if tool.name not in granted or tool.effect not in WRITES or amounts(tool):
            continue
        if (sheet := folder.tools.get(tool.name)) is not None:
            message = f"{quoted(tool.name)} writes, and does not say how much one call does"
            hint = "add `records: {written: 1}`, or what it deletes, moves or sends"
            sheet.note(("effect",), message, hint)
    for agent_sheet in present(folder.agents):
        _agent(agent_sheet, fleet.agents[AgentName(agent_sheet.entry.name)], fleet)


def _agent(sheet: Sheet[AgentEntry], agent: Agent, fleet: Fleet) -> None:
    found = computed(agent, fleet)
    match judged(agent, found):
        case "undeclared":
            _undeclared(sheet, found)
        case "above":
            assert agent.radius is not None
            for excess in excesses(agent.radius, found):
                _above(sheet, excess, found)
            if missing := sorted(found.data - agent.radius.data):
                hint = f"add {quoted(missing[0])} to `radius.data`, or take the tool away"
                message = f"it can read {quoted(missing[0])}, which is not declared"
                sheet.note(("radius", "data"), message, hint)
        case _:
            pass


def _undeclared(sheet: Sheet[AgentEntry], found: BlastRadius) -> None:
    index = next(i for i, line in enumerate(found.lines) if writes(line.tool))
    tool = found.lines[index].tool.name
    unbounded = [q for q, most in found.figures.items() if most is None]
    declared = f"add `radius: {_declared(found)}`"
    if any(line.tool.effect in WRITES and not amounts(line.tool) for line in found.lines):
        declared = "say first what one call of each tool that writes does, then declare the radius"
    if unbounded:
        [line, *_] = found.unbounded_by(unbounded[0])
        declared = f"write `{_RATE}` in tools/{line.tool.name}.yaml, then declare the radius"
    message = f"{quoted(tool)} writes, and the agent declares no radius"
    sheet.note(("tools", index), message, declared)


def _declared(found: BlastRadius) -> str:
    """What an agent's file would say for exactly what was computed."""
    said = [f"{name}: {most}" for name in COUNTED if (most := found.figures.get(name))]
    if money := {currency: most for currency, most in found.money().items() if most}:
        listed = ", ".join(f'{currency}: "{most:f}"' for currency, most in money.items())
        said.insert(0, f"money: {{{listed}}}")
    if found.data:
        said.append(f"data: [{', '.join(sorted(found.data))}]")
    return f"{{{', '.join(said)}}}"


def _above(sheet: Sheet[AgentEntry], excess: Excess, found: BlastRadius) -> None:
    is_counted = excess.quantity in COUNTED
    at: Path = (excess.quantity,) if is_counted else ("money", excess.quantity)
    if excess.most is None:
        [line, *_] = found.unbounded_by(excess.quantity)
        what = figure_words(excess.quantity)
        message = f"nothing bounds the {what} of {quoted(line.tool.name)} in one hour"
        sheet.note(("radius", *at), message, f"write `{_RATE}` in tools/{line.tool.name}.yaml")
        return
    largest = excess.lines[0]
    limit = largest.limit
    message = f"it can reach {excess.most:f} in one hour, above the {excess.declared:f} declared"
    if limit is not None:
        alone = limit.calls * largest.of(excess.quantity)
        message += f"; {quoted(largest.tool.name)} alone {alone:f}, by {limit.words}"
    sheet.note(("radius", *at), message, _less(excess, is_counted=is_counted))


def _less(excess: Excess, *, is_counted: bool) -> str:
    """Declare what was computed, or a rate that keeps to what was declared."""
    most = f"{excess.most:f}" if is_counted else f'"{excess.most:f}"'
    largest = excess.lines[0]
    fitting = int(excess.declared // largest.of(excess.quantity))
    if len(excess.lines) > 1 or fitting < 1:
        return f"write `{most}`, or lower rates in tools/{largest.tool.name}.yaml"
    rate = f"rates: [{{calls: {fitting}, per: hour}}]"
    return f"write `{most}`, or `{rate}` in tools/{largest.tool.name}.yaml"
