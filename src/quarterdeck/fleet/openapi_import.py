"""What importing an OpenAPI document writes: one server, and a contract for each operation.

INVARIANT: every file that is written loads as it stands. What an API's document cannot say, such
as what a write costs or whom it reaches, is a comment that a person answers before applying it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import FLEET_FILE_BYTES_MAX, NAME_CHARACTERS_MAX
from quarterdeck.fleet import documents
from quarterdeck.fleet.bind_tools import COMPENSATION
from quarterdeck.fleet.builtin import TOOLS
from quarterdeck.fleet.contracts import argument_faults, faults
from quarterdeck.fleet.fields import NAME_PATTERN
from quarterdeck.fleet.openapi import Operation, Skipped, operations
from quarterdeck.fleet.openapi_schemas import shown
from quarterdeck.fleet.openapi_server import ApiServer, is_public_url, server_of
from quarterdeck.fleet.openapi_text import read
from quarterdeck.fleet.problems import Findings, quoted
from quarterdeck.fleet.schema import ServerEntry, ToolEntry
from quarterdeck.fleet.writing import yaml_text

_DESCRIPTION_CHARACTERS_MAX: Final = 2000
_NOTES_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The files to write, by path; and the operations that are no tools, with the reason."""

    server: str
    files: Mapping[str, str]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of a document is imported, and under which names."""

    server: str | None = None
    url: str | None = None
    operations: tuple[str, ...] = ()
    #: From the server's name to the names of tools that are another's in that folder.
    taken: Callable[[str], Collection[str]] = lambda _: ()


def imported(content: bytes, wanted: Wanted) -> Imported:
    """The files that describe the operations of a document. Nothing is fetched or written."""
    document = read(content)
    found, skipped = operations(document, wanted.operations)
    name = wanted.server or _server_name(document)
    if not re.fullmatch(NAME_PATTERN, name):
        raise Invalid(f"{quoted(name)} is no name of a server", hint="use --server, as in `shop`")
    if wanted.url is not None and not _is_url(wanted.url):
        raise Invalid(
            f"{quoted(wanted.url)} is no URL", hint="use --api-url https://api.example.com"
        )
    server = server_of(document, wanted.url, secret_name(name))
    files = {f"servers/{name}.yaml": _server_text(document, name, server)}
    names = Names(set(wanted.taken(name)) | set(TOOLS) | {COMPENSATION})
    for operation in found:
        tool = names.of(operation.id)
        text, because = _contract_text(operation, tool, name)
        if text is None:
            skipped.append(Skipped(operation.id, because))
        else:
            files[f"tools/{tool}.yaml"] = text
    return Imported(server=name, files=files, skipped=tuple(skipped))


def secret_name(server: str) -> str:
    """The name of a server's secret."""
    return re.sub(r"[^A-Z0-9]+", "_", server.upper()).strip("_") + "_KEY"


def _is_url(url: str) -> bool:
    """Whether somebody at a terminal named an address; they may name a private one."""
    return is_public_url(url) or re.fullmatch(r"https?://[A-Za-z0-9.\[\]:_/~-]+", url) is not None


def _server_name(document: Mapping[str, Any]) -> str:
    info = document.get("info")
    title = info.get("title") if isinstance(info, dict) else None
    return name_of(shown(title)) or "api"


def name_of(words: str) -> str:
    """Words as a name: `listPets` and `List pets!` are `list_pets`."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    plain = re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
    plain = re.sub(r"^[^a-z]+", "", plain)
    return plain[:NAME_CHARACTERS_MAX].rstrip("_")


@dataclass(slots=True)
class Names:
    """Names that nothing else has."""

    taken: set[str]

    def of(self, words: str) -> str:
        """Words as a name that is still free; it is taken now."""
        name = first = name_of(words) or "operation"
        count = 1
        while name in self.taken:
            count += 1
            end = f"_{count}"
            name = first[: NAME_CHARACTERS_MAX - len(end)] + end
        self.taken.add(name)
        return name


def _server_text(document: Mapping[str, Any], name: str, server: ApiServer) -> str:
    info = document.get("info")
    title = shown(info.get("title"), 100) if isinstance(info, dict) else ""
    entry = {"name": name, "protocol": "http", "url": server.url, **server.entry}
    notes = [f"imported from an OpenAPI document{f': {title}' if title else ''}"]
    if "secret" in entry:
        notes.append(f"then: quarterdeck secrets set {entry['secret']}")
    text = commented([*notes, *[f"decide: {note}" for note in server.notes]]) + yaml_text(entry)
    if (because := fault(ServerEntry, text)) is not None:
        raise Invalid(f"the server cannot be written: {because}", hint="use --api-url and --server")
    return text


def _contract_text(operation: Operation, tool: str, server: str) -> tuple[str | None, str]:
    """The contract of an operation, or why there is none."""
    for _, message, _ in argument_faults(operation.arguments):
        return None, f"its arguments: {message}"
    if operation.results is not None and any(True for _ in faults(operation.results)):
        operation.notes.append("its results are not checked: their schema is not strict enough")
        operation.results = None
    for results in (operation.results, None):
        operation.results = results
        text = _comments(operation) + yaml_text(_contract(operation, tool, server))
        because = fault(ToolEntry, text)
        if because is None:
            return text, ""
    return None, because or ""


def _contract(operation: Operation, tool: str, server: str) -> dict[str, Any]:
    http: dict[str, Any] = {
        "server": server,
        "method": operation.method.upper(),
        "path": operation.path,
    }
    for place in ("query", "headers", "body"):
        if said := getattr(operation, place):
            http[place] = said
    contract: dict[str, Any] = {
        "name": tool,
        "description": shown(operation.description, _DESCRIPTION_CHARACTERS_MAX),
        "arguments": operation.arguments,
    }
    if operation.results is not None:
        contract["results"] = operation.results
    contract["effect"] = operation.effect
    if operation.effect != "read":
        word = "deleted" if operation.method == "delete" else "written"
        contract["records"] = {word: 1}
    if operation.key is not None:
        contract |= {"idempotent": True, "idempotency_key": {"header": operation.key}}
    return contract | {"http": http}


def _comments(operation: Operation) -> str:
    lines = [f"{operation.method.upper()} {operation.path}, imported from an OpenAPI document"]
    lines += [f"decide: {words}" for words in _decisions(operation)]
    lines += operation.notes[:_NOTES_MAX]
    if (left := len(operation.notes) - _NOTES_MAX) > 0:
        lines.append(f"and {left} more notes")
    return commented(lines)


def _decisions(operation: Operation) -> Iterator[str]:
    """What the document does not say, and the contract needs."""
    yield "what its results are worth (`trust`), and which data they carry (`data`)"
    if operation.effect == "read":
        yield "is it a read, or does it send something out (`effect: egress`)?"
        return
    yield "`control`: the arguments that decide who, what and how much"
    yield "`moves`, `messages`, `records`: what one call does at the most"
    yield "`reversible`: the tool that undoes it, or `compensation`"
    if operation.key is not None:
        yield "does a repeat under the same key change nothing more? The API says so by its header"
    elif operation.method in ("put", "delete"):
        yield "is a repeat harmless, as the method promises? Then `idempotent: true`"


def commented(lines: list[str]) -> str:
    """Lines as comments of a YAML file."""
    return "".join(f"# {shown(line, 300)}\n" for line in lines)


def fault(entry: type[ServerEntry] | type[ToolEntry], text: str) -> str | None:
    """Why a file would not load, if it would not."""
    content = text.encode()
    if len(content) > FLEET_FILE_BYTES_MAX:
        return f"its file would be larger than {FLEET_FILE_BYTES_MAX} bytes"
    found = Findings()
    document = documents.read("file", content, found)
    if document is None:
        return found.problems[0].message
    try:
        entry.model_validate(document.value)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    return None
