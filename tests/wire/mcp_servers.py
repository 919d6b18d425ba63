"""Raw MCP servers on real sockets that do as they are told, misbehave included."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from quarterdeck.domain.actions import Content, Done, Outcome, Proposal, Receipt
from quarterdeck.services.runs import StartedRun
from tests.serving import Running
from tests.wire.mcp_fleets import FLEET, pin

STATELESS = "2026-07-28"
HANDSHAKE = "2025-11-25"


@dataclass
class Asked:
    """One HTTP request as it came."""

    method: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The message in it."""
        return dict(json.loads(self.body)) if self.body else {}

    @property
    def says(self) -> str:
        """The method of the message; empty where there is none, as in a form for an issuer."""
        try:
            return str(self.json.get("method", ""))
        except ValueError:
            return ""


Act: TypeAlias = Callable[["McpServer", Asked, asyncio.StreamWriter], Awaitable[None]]


def http(status: int, body: bytes = b"", kind: str = "application/json", **headers: str) -> bytes:
    """A whole answer."""
    said = {"content-type": kind, "content-length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in said.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def result_of(asked: Asked, result: Any) -> bytes:
    """A JSON-RPC result as a whole answer."""
    message = {"jsonrpc": "2.0", "id": asked.json["id"], "result": result}
    return http(200, json.dumps(message).encode())


def error_of(asked: Asked, code: int, message: str, status: int = 400) -> bytes:
    """A JSON-RPC error as a whole answer."""
    body = {"jsonrpc": "2.0", "id": asked.json.get("id"), "error": {"code": code}}
    body["error"]["message"] = message
    return http(status, json.dumps(body).encode())


def text(said: str, **more: Any) -> dict[str, Any]:
    """A tool's result."""
    return {"content": [{"type": "text", "text": said}], "resultType": "complete", **more}


def tool(name: str, description: str = "A tool.", **more: Any) -> dict[str, Any]:
    """A definition."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    return {"name": name, "description": description, "inputSchema": schema, **more}


@dataclass
class McpServer:
    """Answers what the protocol needs; `acts` are for `tools/call`, by the tool's name."""

    era: str = STATELESS
    tools: list[dict[str, Any]] = field(default_factory=lambda: [tool("echo")])
    acts: dict[str, Act] = field(default_factory=dict)
    sessions: bool = True
    capabilities: dict[str, Any] = field(default_factory=lambda: {"tools": {}})
    asked: list[Asked] = field(default_factory=list)
    open_sessions: set[str] = field(default_factory=set)
    #: Before anything is answered; what it returns is the answer, if it returns one.
    first: Callable[[Asked], bytes | None] = lambda _: None
    #: Called when a connection of a call that is still being answered is closed by the client.
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    _count: int = 0

    def says(self, method: str) -> list[Asked]:
        """The messages of one method, oldest first."""
        return [a for a in self.asked if a.says == method]

    def calls(self, name: str = "echo") -> list[Asked]:
        """The calls of one tool that got here."""
        found = self.says("tools/call")
        return [a for a in found if a.json["params"].get("name") == name]

    async def answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        """One request."""
        early = self.first(asked)
        if early is not None:
            writer.write(early)
            return
        if asked.method == "DELETE":
            self.open_sessions.discard(asked.headers.get("mcp-session-id", ""))
            writer.write(http(200))
        elif asked.method != "POST":
            writer.write(http(405))
        elif asked.says == "server/discover" and self.era == STATELESS:
            said = {"supportedVersions": [STATELESS], "capabilities": self.capabilities}
            writer.write(result_of(asked, {**said, "resultType": "complete"}))
        elif asked.says == "initialize" and self.era != STATELESS:
            self._initialize(asked, writer)
        elif self.era != STATELESS and not self._knows(asked):
            writer.write(http(404))
        elif "id" not in asked.json or "method" not in asked.json:
            writer.write(http(202))
        elif asked.says == "tools/list":
            writer.write(result_of(asked, {"tools": self.tools, "resultType": "complete"}))
        elif asked.says == "tools/call":
            await self._call(asked, writer)
        else:
            writer.write(error_of(asked, -32601, "Method not found", 404))

    def _knows(self, asked: Asked) -> bool:
        return not self.sessions or asked.headers.get("mcp-session-id") in self.open_sessions

    def _initialize(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        headers = {}
        if self.sessions:
            self._count += 1
            headers = {"mcp_session_id": f"session-{self._count}"}
            self.open_sessions.add(f"session-{self._count}")
        said = {"protocolVersion": self.era, "capabilities": self.capabilities}
        said["serverInfo"] = {"name": "raw", "version": "1"}
        message = {"jsonrpc": "2.0", "id": asked.json["id"], "result": said}
        writer.write(http(200, json.dumps(message).encode(), **headers))

    async def _call(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        name = asked.json["params"]["name"]
        act = self.acts.get(name)
        if act is not None:
            await act(self, asked, writer)
        else:
            said = json.dumps(asked.json["params"].get("arguments"))
            writer.write(result_of(asked, text(said)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answered(reader, writer)
        finally:
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (asked := await _read(reader)) is not None:
            self.asked.append(asked)
            answering = asyncio.create_task(self.answer(asked, writer))
            gone = asyncio.create_task(reader.read(1)) if asked.says == "tools/call" else None
            if gone is not None:
                await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and not answering.done():
                    self.hung_up.set()
                    answering.cancel()
                elif not gone.done():
                    gone.cancel()
                    await asyncio.wait((gone,))
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = await reader.readline()
        if not line:
            return None
        head += line
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(first.split(" ")[0], headers, body)


@contextlib.asynccontextmanager
async def listening(server: McpServer) -> AsyncIterator[McpServer]:
    """The server on loopback."""
    serving = await asyncio.start_server(server._serve, "127.0.0.1", 0)
    port = serving.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}/mcp"
    try:
        yield server
    finally:
        serving.close()


def fleet_of(
    *servers: tuple[str, McpServer | list[str]],
    tools: dict[str, tuple[str, dict[str, Any]]] | None = None,
    contract: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    grant: dict[str, Any] | None = None,
) -> dict[str, bytes]:
    """A folder with one agent that is granted all tools of the servers, pinned as they are now.

    `tools` says for each contract its server and its definition, where those of a server are not
    meant; `contract` and `server` are further fields of each contract and server.
    """
    granted = {} if tools is None else dict(tools)
    files: dict[str, Any] = {"fleet.yaml": FLEET}
    for name, made in servers:
        where = {"command": made} if isinstance(made, list) else {"url": made.url}
        entry = {"name": name, "protocol": "mcp", **where, **(server or {})}
        files[f"servers/{name}.yaml"] = entry
        if tools is None and isinstance(made, McpServer):
            granted |= {t["name"]: (name, t) for t in made.tools}
    for name, (at, definition) in granted.items():
        files[f"tools/{name}.yaml"] = {
            "name": name,
            "description": "A tool of the tests.",
            "arguments": {"type": "object", "additionalProperties": True},
            "effect": "read",
            "timeout_seconds": 5,
            "mcp": {"server": at, "tool": definition["name"], "pin": pin(definition)},
            **(contract or {}),
        }
    files["agents/clerk.yaml"] = {
        "name": "clerk",
        "owner": "ann",
        "team": "desk",
        "purpose": "Uses all there is.",
        "autonomy": "L2",
        "models": {"main": {"vendor": "local", "model": "small-1"}},
        "prompt": "prompts/clerk.md",
        "tools": list(granted),
        "servers": {name: grant for name, _ in servers} if grant is not None else {},
        "radius": {"written": 10_000_000, "deleted": 10_000_000},
    }
    written = {path: yaml.safe_dump(content).encode() for path, content in files.items()}
    return written | {"prompts/clerk.md": b"You are a clerk."}


def proposal(run: StartedRun, name: str, arguments: bytes = b"{}") -> Proposal:
    """A tool's call, as the runner would propose it."""
    return Proposal(
        credential=run.credential,
        kind="tool",
        target=name,
        arguments=arguments,
        content=Content(rest=arguments),
    )


async def use(server: Running, run: StartedRun, name: str, arguments: bytes = b"{}") -> Outcome:
    """Call a tool as the runner would."""
    asked = proposal(run, name, arguments)
    return await server.house.checkpoint.carry_out(asked, server.house.tools.use)


async def receipt_of(
    server: Running, run: StartedRun, name: str, arguments: bytes = b"{}"
) -> Receipt:
    """What came of a call that was carried out, or was to be."""
    outcome = await use(server, run, name, arguments)
    assert isinstance(outcome, Done), outcome
    return outcome.receipt
