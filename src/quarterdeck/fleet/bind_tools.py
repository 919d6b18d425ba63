"""Tools bound to their contracts, their functions and to one another."""

from dataclasses import replace
from typing import Final

from quarterdeck.domain import destinations
from quarterdeck.domain.ids import ToolName
from quarterdeck.domain.money import nanousd
from quarterdeck.domain.tools import Destination, Key, Moves, Rate, Records, Tool
from quarterdeck.fleet import builtin, contracts
from quarterdeck.fleet.bind_backends import backend
from quarterdeck.fleet.problems import Path, quoted
from quarterdeck.fleet.revision import tool_digest
from quarterdeck.fleet.schema import ToolEntry
from quarterdeck.fleet.sheets import Folder, Sheet, named_as_file, present

_PATTERNS: Final = (
    "write a URL as `https://*.example.com/*`, a mail address as `*@example.com`, a path as "
    "`/exports/*`, hosts in lower case, other letters in them as `xn--`"
)
#: In `reversible`: people make up for it, no tool does.
COMPENSATION: Final = "compensation"


def tools(folder: Folder) -> dict[ToolName, Tool]:
    """The built-in tools and those of the folder."""
    bound = dict(builtin.TOOLS)
    for sheet in present(folder.tools):
        entry = sheet.entry
        if entry.name in (COMPENSATION, *builtin.TOOLS):
            message = f"{quoted(entry.name)} has a meaning of its own"
            sheet.note(("name",), message, "rename the tool and its file")
            continue
        named_as_file(sheet, entry.name)
        _contract(sheet)
        _reversible(sheet, folder)
        _arguments_named(sheet)
        _bounded(sheet)
        bound[ToolName(entry.name)] = _tool(sheet, folder)
    return bound


def _contract(sheet: Sheet[ToolEntry]) -> None:
    for path, message, hint in contracts.argument_faults(sheet.entry.arguments):
        sheet.note(("arguments", *path), message, hint)
    for path, message, hint in contracts.faults(sheet.entry.results or {}):
        sheet.note(("results", *path), message, hint)


def _reversible(sheet: Sheet[ToolEntry], folder: Folder) -> None:
    name = sheet.entry.reversible
    if name is None or name == COMPENSATION:
        return
    if name == sheet.entry.name:
        hint = f"name another tool, or write `{COMPENSATION}`"
        sheet.note(("reversible",), "a tool does not undo itself", hint)
        return
    others = {*folder.tools, COMPENSATION} - {sheet.entry.name}
    sheet.knows(("reversible",), "tool", name, others)


def _arguments_named(sheet: Sheet[ToolEntry]) -> None:
    """Every argument that a contract speaks of is one that its schema names."""
    entry = sheet.entry
    properties = entry.arguments.get("properties")
    known = set(properties) if isinstance(properties, dict) else set()
    spoken: list[tuple[Path, str]] = []
    for field in ("control", "text"):
        spoken += [((field, i), name) for i, name in enumerate(getattr(entry, field))]
    spoken += [
        (("moves", i, "argument"), moves.argument)
        for i, moves in enumerate(entry.moves)
        if moves.argument is not None
    ]
    spoken += [
        (("destinations", i, "argument"), d.argument) for i, d in enumerate(entry.destinations)
    ]
    key = entry.idempotency_key
    if key is not None and key.argument is not None:
        spoken.append((("idempotency_key", "argument"), key.argument))
    for path, name in spoken:
        sheet.knows(path, "argument", name, known)
    for name in sorted(set(entry.control) & set(entry.text)):
        hint = "keep it in `control` if it decides anything"
        sheet.note(("text",), f"{quoted(name)} is also in `control`", hint)
    if key is not None and (key.argument is None) == (key.header is None):
        sheet.note(("idempotency_key",), "no place, or two", "write `argument` or `header`")
    if key is not None and not entry.idempotent:
        hint = "write `idempotent: true`, or remove the key"
        sheet.note(("idempotency_key",), "a key for a tool that is not idempotent", hint)


def _bounded(sheet: Sheet[ToolEntry]) -> None:
    """What the checkpoint will hold calls to can be compared at all."""
    entry = sheet.entry
    required = entry.arguments.get("required")
    for index, moves in enumerate(entry.moves):
        if moves.argument is not None and moves.argument not in (required or ()):
            hint = "list it under `required`: a call that does not say how much is denied"
            sheet.note(
                ("moves", index, "argument"), f"{quoted(moves.argument)} may be missing", hint
            )
    for index, destination in enumerate(entry.destinations):
        for nth, pattern in enumerate(destination.allow):
            if (fault := destinations.fault_of(pattern)) is not None:
                sheet.note(
                    ("destinations", index, "allow", nth), f"{quoted(pattern)}: {fault}", _PATTERNS
                )
    for index, rate in enumerate(entry.rates):
        if rate.per in [other.per for other in entry.rates[:index]]:
            sheet.note(("rates", index), f"a second rate per {rate.per}", "keep the lower one")


def _tool(sheet: Sheet[ToolEntry], folder: Folder) -> Tool:
    entry = sheet.entry
    tool = Tool(
        name=ToolName(entry.name),
        description=entry.description,
        arguments=contracts.closed(entry.arguments),
        results=entry.results,
        effect=entry.effect,
        trust=entry.trust,
        idempotent=entry.idempotent,
        reversible=entry.reversible,
        repeatable=entry.repeatable,
        timeout_seconds=entry.timeout_seconds,
        cost_nanousd=nanousd(entry.cost),
        backend=backend(sheet, folder),
        digest="",
        control=tuple(entry.control),
        text=tuple(entry.text),
        ids=tuple(entry.ids),
        data=frozenset(entry.data),
        key=_key(entry),
        moves=tuple(
            Moves(currency=m.currency, most=f"{m.most:f}", argument=m.argument) for m in entry.moves
        ),
        records=Records(written=entry.records.written, deleted=entry.records.deleted),
        messages=entry.messages,
        destinations=tuple(
            Destination(argument=d.argument, allow=tuple(d.allow)) for d in entry.destinations
        ),
        rates=tuple(Rate(calls=r.calls, per=r.per) for r in entry.rates),
        confirm=entry.confirm,
        secret=entry.secret,
    )
    return replace(tool, digest=tool_digest(tool))


def _key(entry: ToolEntry) -> Key | None:
    key = entry.idempotency_key
    if key is None:
        return None
    if key.argument is not None:
        return Key(place="argument", name=key.argument)
    return Key(place="header", name=key.header or "")
