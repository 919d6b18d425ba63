"""What importing an MCP server writes: a server, and a contract for each tool, pinned as it is.

INVARIANT: every file that is written loads as it stands, and trusts nothing the server says of
itself: annotations can only raise an effect, and a tool without any is a write.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from quarterdeck.domain.definition_diff import visible
from quarterdeck.domain.definition_signs import signs
from quarterdeck.domain.definitions import PIN_PREFIX, Definition, Listed
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.servers import Server
from quarterdeck.fleet.bind_tools import COMPENSATION
from quarterdeck.fleet.builtin import TOOLS
from quarterdeck.fleet.contracts import KEYWORDS, LIST, NAMED, ONE, argument_faults, faults
from quarterdeck.fleet.openapi import Skipped
from quarterdeck.fleet.openapi_import import (
    Imported,
    Names,
    Wanted,
    commented,
    fault,
    name_of,
)
from quarterdeck.fleet.openapi_schemas import shown
from quarterdeck.fleet.schema import ServerEntry, ToolEntry
from quarterdeck.fleet.writing import yaml_text

_DESCRIPTION_CHARACTERS_MAX: Final = 2000
_SIGNS_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Schemas:
    """The schemas of a tool as a contract may hold them, and what was left out."""

    arguments: dict[str, Any]
    results: dict[str, Any] | None
    notes: tuple[str, ...]


def imported(server: Server, listed: Listed, wanted: Wanted) -> Imported:
    """The files that describe a server and its tools. Nothing is written."""
    files = {f"servers/{server.name}.yaml": _server_text(server, listed)}
    names = Names(set(wanted.taken(server.name)) | set(TOOLS) | {COMPENSATION})
    skipped: list[Skipped] = []
    for definition in listed.tools:
        if wanted.operations and definition.name not in wanted.operations:
            continue
        text, because = _contract_text(definition, server.name, names)
        if text is None:
            skipped.append(Skipped(visible(definition.name), because))
        else:
            files[f"tools/{text[0]}.yaml"] = text[1]
    missing = set(wanted.operations) - {definition.name for definition in listed.tools}
    skipped += [Skipped(visible(name), "the server has no such tool") for name in sorted(missing)]
    return Imported(server=server.name, files=files, skipped=tuple(skipped))


def server_name(where: str) -> str:
    """A name for a server, from the host of its URL or the program of its command."""
    host = urlsplit(where).hostname if "://" in where else None
    if host is not None:
        labels = [part for part in host.split(".") if part not in ("www", "mcp", "api")]
        return name_of(labels[0] if labels else host) or "mcp"
    return name_of(where.rstrip("/").rpartition("/")[2].partition(".")[0]) or "mcp"


def _server_text(server: Server, listed: Listed) -> str:
    entry: dict[str, Any] = {"name": server.name, "protocol": "mcp"}
    if server.url is not None:
        entry["url"] = server.url
    else:
        entry["command"] = list(server.command)
    notes = [f"imported from an MCP server that speaks {listed.version}"]
    if server.secret is not None:
        entry["secret"] = server.secret
        notes.append(f"then: quarterdeck secrets set {server.secret}")
    elif server.command:
        notes.append("decide: variables it needs (`environment`), and secrets (`secrets`)")
    else:
        notes.append("decide: the secret it is shown, if it wants one (`secret`)")
    text = commented(notes) + yaml_text(entry)
    if (because := fault(ServerEntry, text)) is not None:
        raise Invalid(f"the server cannot be written: {because}", hint="use --server NAME")
    return text


def _contract_text(
    definition: Definition, server: str, names: Names
) -> tuple[tuple[str, str] | None, str]:
    """The name and the contract of a tool, or why there is none."""
    if not definition.hash.startswith(PIN_PREFIX):
        return None, "its definition is one that nobody can pin, or it is defined twice"
    said = orjson.loads(definition.raw)
    schemas = _schemas(said)
    for _, message, _ in argument_faults(schemas.arguments):
        return None, f"its arguments: {message}"
    tool = names.of(definition.name)
    entry: dict[str, Any] = {
        "name": tool,
        "description": shown(said.get("description"), _DESCRIPTION_CHARACTERS_MAX)
        or f"The tool {shown(definition.name)} of server {server}.",
        "arguments": schemas.arguments,
    }
    if schemas.results is not None:
        entry["results"] = schemas.results
    hints = said.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    entry["effect"] = "write"
    # What a server does not say of itself counts as the worst it could say.
    word = "written" if hints.get("destructiveHint") is False else "deleted"
    entry["records"] = {"written": 1} if word == "written" else {"written": 1, "deleted": 1}
    entry["mcp"] = {"server": server, "tool": definition.name, "pin": definition.hash}
    lines = [f"{definition.name} of the MCP server {server}, as it described itself"]
    lines += [f"decide: {words}" for words in _decisions(hints)]
    lines += schemas.notes
    lines += [
        f"look at {sign.place}: {sign.what}{f': {sign.quote}' if sign.quote else ''}"
        for sign in signs(said)[:_SIGNS_SHOWN]
    ]
    text = commented([visible(line) for line in lines]) + yaml_text(entry)
    because = fault(ToolEntry, text)
    return (None, because) if because is not None else ((tool, text), "")


def _decisions(hints: Mapping[str, Any]) -> Iterator[str]:
    """What a server cannot say for itself, and the contract needs."""
    if hints.get("readOnlyHint") is True:
        yield "the server says that it only reads: if you know that it does, `effect: read`"
    else:
        yield "`effect`: `read`, `egress`, `draft`, `write` or `privileged`"
    if hints.get("openWorldHint") is not False:
        yield "whom it reaches: `messages`, and `destinations` with what they may be"
    if hints.get("idempotentHint") is True:
        yield "the server says that a repeat is harmless: if you know it, `idempotent: true`"
    yield "`records`, `moves`: what one call does at the most; `rates`: how often"
    yield "`control`: the arguments that decide who, what and how much"
    yield "`reversible`: the tool that undoes it, or `compensation`"
    yield "what its results are worth (`trust`), and which data they carry (`data`)"


def _schemas(said: Mapping[str, Any]) -> _Schemas:
    notes: list[str] = []
    arguments = _cleaned(said.get("inputSchema"), "its arguments", notes)
    results = None
    if isinstance(said.get("outputSchema"), dict):
        results = _cleaned(said["outputSchema"], "its results", notes)
        if any(True for _ in faults(results)):
            notes.append("its results are not checked: their schema is not strict enough")
            results = None
    return _Schemas(arguments, results, tuple(notes))


def _cleaned(schema: Any, where: str, notes: list[str]) -> dict[str, Any]:
    """A schema without what constrains nothing, or is of another draft."""
    dropped: set[str] = set()
    found = _strict(schema if isinstance(schema, dict) else {}, dropped)
    found.setdefault("type", "object")
    if dropped:
        names = ", ".join(f"`{shown(name, 40)}`" for name in sorted(dropped))
        notes.append(f"left out of {where}, unknown to 2020-12: {names}")
    return found


def _strict(schema: Mapping[str, Any], dropped: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keyword, value in schema.items():
        name = "$defs" if keyword == "definitions" else keyword
        if name == "$schema" or (name == "$ref" and not isinstance(value, str)):
            continue
        if name in ONE and isinstance(value, dict):
            found[name] = _strict(value, dropped)
        elif name in LIST and isinstance(value, list):
            found[name] = [_strict(v, dropped) if isinstance(v, dict) else v for v in value]
        elif name in NAMED and isinstance(value, dict):
            found[name] = {
                n: _strict(v, dropped) if isinstance(v, dict) else v for n, v in value.items()
            }
        elif name == "$ref":
            found[name] = value.replace("#/definitions/", "#/$defs/")
        elif name in KEYWORDS or name.startswith("x-"):
            found[name] = value
        else:
            dropped.add(keyword)
    return found
