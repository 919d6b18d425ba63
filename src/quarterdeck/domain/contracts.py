"""Contracts: what the arguments of one call must be beyond the schema. Pure decisions.

INVARIANT: what is compared here is what is sent. Back ends forward the caller's own bytes, so
arguments that two readers could take differently (a name written twice, beside another spelling of
an argument that decides something) are denied and never repaired.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from quarterdeck.domain.destinations import allowed
from quarterdeck.domain.limits import JSON_DEPTH_MAX, TOOL_ARGUMENTS_BYTES_MAX
from quarterdeck.domain.tools import Destination, Moves, Tool
from quarterdeck.domain.verdicts import Verdict, deny

#: An amount as text: decimal digits only, as the fleet folder writes amounts.
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SHOWN_CHARACTERS_MAX: Final = 80
_SHOWN_ITEMS_MAX: Final = 3


def read(arguments: bytes) -> dict[str, Any] | str:
    """The arguments of a call as every reader takes them, or what is wrong with them."""
    if len(arguments) > TOOL_ARGUMENTS_BYTES_MAX:
        return f"the arguments are larger than {TOOL_ARGUMENTS_BYTES_MAX} bytes"
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return "the arguments are not JSON"
    if not isinstance(value, dict):
        return "the arguments are not an object"
    members = _members(value)
    if members is None:
        return f"the arguments are nested deeper than {JSON_DEPTH_MAX} levels"
    # Each member has one colon: more of them than members that were read means that one was lost.
    if arguments.count(b":") != members and _TEXT.sub(b"", arguments).count(b":") != members:
        return "the arguments name something twice"
    return value


def _members(value: object) -> int | None:
    """How many members all objects in a JSON value have; nothing if it is nested too deep."""
    found, level = 0, [value]
    for _ in range(JSON_DEPTH_MAX):
        below: list[object] = []
        for item in level:
            items: Any = item
            if isinstance(item, dict):
                found += len(item)
                items = item.values()
            below += [i for i in items if i.__class__ is dict or i.__class__ is list]
        if not below:
            return found
        level = below
    return None


def bounds_verdict(tool: Tool, arguments: Mapping[str, Any], sent: bytes) -> Verdict | None:
    """Where a call may send something and how much it may move; nothing if nothing is wrong.

    `sent` is what `arguments` were read from: amounts are compared digit by digit.
    """
    if not tool.destinations and not tool.moves:
        return None
    if (other := _other_spelling(tool, arguments)) is not None:
        return deny("contract:arguments", f"{_shown(other)} is another spelling of an argument")
    for destination in tool.destinations:
        if not _is_destination(destination, arguments):
            given = _shown(arguments[destination.argument])
            because = f"`{destination.argument}`: {given} is not where this tool may send anything"
            return deny("contract:destinations", because)
    if not any(moves.argument for moves in tool.moves):
        return None
    exact: Mapping[str, Any] = json.loads(sent, parse_float=Decimal)
    said = next((s for moves in tool.moves if (s := _too_much(moves, exact))), None)
    return None if said is None else deny("contract:moves", said)


def _other_spelling(tool: Tool, arguments: Mapping[str, Any]) -> str | None:
    """An argument that a reader without regard for case would take for one that decides."""
    names = {d.argument for d in tool.destinations}
    names |= {m.argument for m in tool.moves if m.argument is not None}
    folded = {_folded(name) for name in names}
    return next((a for a in arguments if a not in names and _folded(a) in folded), None)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().replace("-", "_")


def _is_destination(destination: Destination, arguments: Mapping[str, Any]) -> bool:
    """Whether an argument says an allowed place; one that is not there sends nothing anywhere."""
    if destination.argument not in arguments:
        return True
    return allowed(arguments[destination.argument], destination.allow)


def _too_much(moves: Moves, arguments: Mapping[str, Any]) -> str | None:
    """Why a call may not move what it says; nothing if it may, or if no argument says how much."""
    name = moves.argument
    if name is None:
        return None
    if name not in arguments:
        return f"`{name}` is missing: it says how much {moves.currency} is moved"
    amount = amount_of(arguments[name])
    if amount is None:
        return f"`{name}`: {_shown(arguments[name])} is no amount of {moves.currency}"
    if amount > Decimal(moves.most):
        given = _shown(arguments[name])
        return f"`{name}`: {given} {moves.currency} is more than the {moves.most} a call may move"
    return None


def amount_of(value: object) -> Decimal | None:
    """An amount, exactly: a number, or decimal digits as text; nothing below zero."""
    if isinstance(value, str):
        return Decimal(value) if _AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _shown(value: object) -> str:
    """What was given, in backticks, of limited length; a list by its first items."""
    if isinstance(value, dict):
        return "an object"
    few = value[:_SHOWN_ITEMS_MAX] if isinstance(value, list) else value
    text = few[: _SHOWN_CHARACTERS_MAX + 1] if isinstance(few, str) else str(few)
    clean = "".join(
        c if c.isprintable() and c != "`" else "?" for c in text[:_SHOWN_CHARACTERS_MAX]
    )
    return f"`{clean}{'…' if len(text) > _SHOWN_CHARACTERS_MAX else ''}`"
