"""Tools bound to their contracts, their functions and to one another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from quarterdeck.domain.fleets import Tool
from quarterdeck.domain.ids import ToolName
from quarterdeck.domain.money import nanousd
from quarterdeck.fleet import builtin, contracts
from quarterdeck.fleet.problems import quoted
from quarterdeck.fleet.python_tools import backend
from quarterdeck.fleet.revision import tool_digest
from quarterdeck.fleet.schema import ToolEntry
from quarterdeck.fleet.sheets import Folder, Sheet, named_as_file, present

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
        bound[ToolName(entry.name)] = _tool(sheet, folder.files)
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


def _tool(sheet: Sheet[ToolEntry], files: Mapping[str, bytes]) -> Tool:
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
        backend=backend(sheet, files),
        digest="",
    )
    return replace(tool, digest=tool_digest(tool))
