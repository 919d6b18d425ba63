"""What carries a tool out, bound: a Python function, a tool of an MCP server, an HTTP operation."""

import re
from typing import Final

from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.tools import RESERVED_HEADERS, Backend, HttpBackend, McpBackend
from quarterdeck.fleet import python_tools
from quarterdeck.fleet.problems import quoted
from quarterdeck.fleet.schema import ToolEntry
from quarterdeck.fleet.sheets import Folder, Sheet

_IN_PATH: Final = re.compile(r"\{([^{}]+)\}")


def backend(sheet: Sheet[ToolEntry], folder: Folder) -> Backend | None:
    """The back end a contract names, or nothing: it names none, or a problem was found."""
    entry = sheet.entry
    named = [n for n in ("python", "mcp", "http") if getattr(entry, n) is not None]
    if len(named) > 1:
        sheet.note((named[1],), f"also carried out by `{named[0]}`", "keep one")
        return None
    if entry.mcp is not None:
        return _mcp(sheet, folder)
    if entry.http is not None:
        return _http(sheet, folder)
    return python_tools.backend(sheet, folder.files)


def _mcp(sheet: Sheet[ToolEntry], folder: Folder) -> McpBackend | None:
    entry = sheet.entry.mcp
    assert entry is not None
    if not _is_at(sheet, folder, "mcp", entry.server):
        return None
    return McpBackend(server=ServerName(entry.server), tool=entry.tool, pin=entry.pin)


def _http(sheet: Sheet[ToolEntry], folder: Folder) -> HttpBackend | None:
    entry = sheet.entry.http
    assert entry is not None
    if not _is_at(sheet, folder, "http", entry.server):
        return None
    _places(sheet)
    _headers(sheet, folder)
    return HttpBackend(
        server=ServerName(entry.server),
        method=entry.method,
        path=entry.path,
        query=dict(entry.query),
        headers=dict(entry.headers),
        body=entry.body,
    )


def _is_at(sheet: Sheet[ToolEntry], folder: Folder, protocol: str, name: str) -> bool:
    """Whether the server exists and speaks what the back end needs."""
    if not sheet.knows((protocol, "server"), "server", name, folder.servers):
        return False
    server = folder.servers[name]
    if server is not None and server.entry.protocol != protocol:
        other = server.entry.protocol
        hint = f"write the back end under `{other}:`, or name another server"
        sheet.note((protocol, "server"), f"{quoted(name)} speaks `{other}`", hint)
        return False
    return True


def _places(sheet: Sheet[ToolEntry]) -> None:
    """Every argument goes to exactly one place of the request."""
    entry = sheet.entry.http
    assert entry is not None
    properties = sheet.entry.arguments.get("properties")
    known = set(properties) if isinstance(properties, dict) else set()
    required = sheet.entry.arguments.get("required")
    in_path = _IN_PATH.findall(entry.path)
    placed = [*in_path, *entry.query.values(), *entry.headers.values()]
    if entry.body not in (None, "*"):
        placed.append(str(entry.body))
    for name in sorted(set(placed)):
        sheet.knows(("http",), "argument", name, known)
        if placed.count(name) > 1:
            sheet.note(("http",), f"{quoted(name)} goes to two places", "keep one")
    for name in in_path:
        if not isinstance(required, list) or name not in required:
            hint = "list it under `required`: a path without it is another path"
            sheet.note(("http", "path"), f"{quoted(name)} may be missing", hint)
    if entry.body != "*" and (lost := sorted(known - set(placed))):
        hint = "put it into `path`, `query`, `headers` or `body`"
        sheet.note(("http",), f"{quoted(lost[0])} is sent nowhere", hint)
    if entry.method in ("GET", "HEAD") and entry.body is not None:
        sheet.note(("http", "body"), f"{entry.method} has no body", "send it in `query`")


def _headers(sheet: Sheet[ToolEntry], folder: Folder) -> None:
    """No argument is a header that says how a request is sent, or that shows the secret."""
    entry = sheet.entry.http
    assert entry is not None
    server = folder.servers[entry.server]
    secret = None if server is None else server.entry.auth.lower()
    key = sheet.entry.idempotency_key
    for name in (*entry.headers, *([key.header] if key and key.header else [])):
        if name.lower() in RESERVED_HEADERS:
            hint = "remove it: the platform writes that header"
            sheet.note(("http", "headers"), f"{quoted(name)} is no argument's to set", hint)
        elif name.lower() == secret:
            hint = "remove it: the server's secret is shown there"
            sheet.note(("http", "headers"), f"{quoted(name)} is where the secret goes", hint)
