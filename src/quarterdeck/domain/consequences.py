"""What a call would do, read from its contract and its arguments before anything happens.

For cards, suggestions and plans: sentences come from the contract, never from a model. What the
arguments say is only quoted. Deliberately absent: any decision; the checkpoint decides.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from quarterdeck.domain.contracts import amount_of
from quarterdeck.domain.limits import LINE_CHARACTERS_MAX
from quarterdeck.domain.money import usd
from quarterdeck.domain.tools import Moves, Tool

UNKNOWN = "unknown"


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """The most one call does: `moves` in words, `destinations` by the argument that names them."""

    effect: str
    moves: tuple[str, ...] = ()
    written: int = 0
    deleted: int = 0
    messages: int = 0
    destinations: dict[str, str] = {}
    reversible: str | None = None
    cost_nanousd: int = 0
    summary: str = ""


def foreseen(tool: Tool | None, arguments: Any) -> Consequences:
    """What a call of this tool with these arguments would do; without a contract, nobody knows.

    Arguments that are no object say nothing: the contract refuses them.
    """
    if tool is None:
        return Consequences(effect=UNKNOWN, summary="no contract says what it would do")
    given: Mapping[str, Any] = arguments if isinstance(arguments, dict) else {}
    found = Consequences(
        effect=tool.effect,
        moves=tuple(_moved(moves, given) for moves in tool.moves),
        written=tool.records.written,
        deleted=tool.records.deleted,
        messages=tool.messages,
        destinations={
            d.argument: str(given[d.argument])[:LINE_CHARACTERS_MAX]
            for d in tool.destinations
            if d.argument in given
        },
        reversible=tool.reversible,
        cost_nanousd=tool.cost_nanousd,
    )
    return msgspec.structs.replace(found, summary=_summary(tool, found))


def _moved(moves: Moves, given: Mapping[str, Any]) -> str:
    """An amount as the contract reads it: what is none would put words into our sentence."""
    said = None if moves.argument is None else amount_of(given.get(moves.argument))
    if said is None:
        return f"up to {moves.most} {moves.currency}"
    return f"{said:f} {moves.currency}"


def _summary(tool: Tool, found: Consequences) -> str:
    """One sentence: what kind of effect, how much of it, and whether it can be undone."""
    does = [f"moves {moved}" for moved in found.moves]
    does += [
        f"{verb} {count} record{'' if count == 1 else 's'}"
        for verb, count in (("writes", found.written), ("deletes", found.deleted))
        if count
    ]
    if found.messages:
        does.append(f"sends {found.messages} message{'' if found.messages == 1 else 's'}")
    if found.cost_nanousd:
        does.append(f"costs {usd(found.cost_nanousd)} USD")
    what = f"`{tool.name}` ({tool.effect})" + (f" {', '.join(does)}" if does else "")
    if tool.effect in ("read", "egress", "draft"):
        return f"{what}."
    return f"{what}; {_undoing(tool.reversible)}."


def _undoing(reversible: str | None) -> str:
    match reversible:
        case None:
            return "it cannot be undone"
        case "compensation":
            return "people can make up for it, no tool can"
        case _:
            return f"it can be undone with `{reversible}`"
