"""What is asked of every target, in either era, and that each answers what the raw server said."""

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from benchmarks.comparison.wire import Wrong, unchunked
from benchmarks.load import Client
from benchmarks.mcp.upstream import TEXT

Era = Literal["2025-11-25", "2026-07-28"]
LEGACY: Final = "2025-11-25"
MODERN: Final = "2026-07-28"
WHY: Final = "It was to come on Monday and nobody has seen it. " * 12
CLIENT: Final = {"name": "bench", "version": "1"}
#: Ids are never used twice: sessions of the older era know their requests by them.
FIRST_ID: Final = 100_000_000
_NEXT_ID: Final = b"100000000"
ANSWER_SECONDS: Final = 30


@dataclass(kw_only=True)
class Target:
    """Something that answers MCP."""

    name: str
    port: int
    path: str = "/mcp"
    credential: str = ""
    tool: str = "look_up"
    era: Era = MODERN
    pid: int | None = None
    session: str = ""
    _ids: "itertools.count[int]" = field(
        default_factory=lambda: itertools.count(FIRST_ID), init=False
    )

    def another(self) -> "Target":
        """The same target for another client: its session is its own."""
        return replace(self, session="")

    def calls(self, tool: str | None = None) -> Callable[[], bytes]:
        """Calls of the tool, byte for byte the same but for their ids."""
        name = tool or self.tool
        params = {"name": name, "arguments": {"order": "W0000007", "why": WHY}}
        before, _, after = self.request("tools/call", params, name=name).partition(_NEXT_ID)
        return lambda: b"%s%d%s" % (before, next(self._ids), after)

    def request(self, method: str, params: dict[str, Any], *, name: str = "") -> bytes:
        """One request, under the first id."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": FIRST_ID, "method": method}
        if method.startswith("notifications/"):
            del message["id"]
        headers = {"content-type": "application/json", "accept": ACCEPT}
        if self.credential:
            headers["authorization"] = f"Bearer {self.credential}"
        if self.era == MODERN:
            params = {**params, "_meta": META}
            headers |= {"mcp-protocol-version": MODERN, "mcp-method": method}
            headers |= {"mcp-name": name} if name else {}
        elif method != "initialize":
            headers |= {"mcp-protocol-version": LEGACY}
            headers |= {"mcp-session-id": self.session} if self.session else {}
        body = json.dumps({**message, "params": params}).encode()
        lines = [f"POST {self.path} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        lines.append(f"content-length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


ACCEPT: Final = "application/json, text/event-stream"
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def greet(target: Target) -> None:
    """What an older client says first; the session it is given is its own from then on."""
    if target.era == MODERN:
        return
    told = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
    status, head, body = await asked(target, target.request("initialize", told))
    if status != 200:
        raise Wrong(f"{target.name} did not begin: {status}: {body[:300]!r}")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"mcp-session-id:"):
            target.session = line.split(b":", 1)[1].strip().decode()
    status, _, body = await asked(target, target.request("notifications/initialized", {}))
    if status not in (200, 202):
        raise Wrong(f"{target.name} did not go on: {status}: {body[:300]!r}")


async def check_wire(target: Target) -> None:
    """A call carries the raw server's very text, and its own id."""
    request = target.calls()()
    number = int(request.partition(b'"id": ')[2][:9])
    status, _, body = await asked(target, request)
    if status != 200:
        raise Wrong(f"{target.name} answered {status}: {body[:500]!r}")
    message = message_of(body)
    found = (message.get("id"), message.get("result", {}).get("content", [{}])[0].get("text"))
    if found != (number, TEXT):
        raise Wrong(f"{target.name} answered {message!r:.500}")


async def asked(target: Target, request: bytes) -> tuple[int, bytes, bytes]:
    """One request on a connection of its own: status, head, and the body without its framing."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Client, "127.0.0.1", target.port)
    async with asyncio.timeout(ANSWER_SECONDS):
        status = await client.ask(request)
    client.transport.close()
    head, _, body = bytes(client.buffer).partition(b"\r\n\r\n")
    return status, head, unchunked(body) if b"chunked" in head.lower() else body


def message_of(body: bytes) -> dict[str, Any]:
    """The answer in a body, or at the end of a stream of events."""
    lines = [line[5:] for line in body.splitlines() if line.startswith(b"data:")]
    return dict(json.loads(lines[-1] if lines else body))
