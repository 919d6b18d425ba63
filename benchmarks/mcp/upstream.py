"""A raw MCP server over HTTP, of both eras: the upstream every figure of `bench-mcp` is beside.

    python -m benchmarks.mcp.upstream [TOOLS]        prints its port

Neither the SDK nor a framework: what is measured is what stands before it. The path says how it
behaves: `/mcp` well, with any prefix (`/17/mcp`, so one process is many servers); `/hang/mcp`,
`/flood/mcp` and `/die/mcp` list their tools, and do that when one is called.
"""

import asyncio
import sys
from typing import Any, cast

import orjson
import uvloop

TEXT = "All is well with the order. " * 20
BIG_BYTES = 1_000_000
FLOOD = b"x" * 65_536
VERSIONS = ["2026-07-28", "2025-11-25"]
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "why": {"type": "string"}},
    "required": ["order"],
}
FRESH = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
ABOUT = {"name": "raw", "version": "1"}


def definitions(count: int) -> list[dict[str, Any]]:
    """What it has: one that looks an order up, a big one, and as many more as are wanted."""
    names = ["look_up", "big", *(f"look_up_{number}" for number in range(2, count))]
    return [
        {"name": name, "description": "Says how an order is.", "inputSchema": SCHEMA}
        for name in names[:count]
    ]


def _said(text: str) -> bytes:
    result = {"content": [{"type": "text", "text": text}], "isError": False}
    return orjson.dumps({**result, "resultType": "complete"})


SMALL, BIG = _said(TEXT), _said("x" * BIG_BYTES)


class Upstream(asyncio.Protocol):
    """One connection."""

    tools: bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = b""
        self.flooding = False
        self.room = asyncio.Event()
        self.room.set()

    def pause_writing(self) -> None:
        """Whoever reads is slower than this writes."""
        self.room.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self.room.set()

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self.buffer += data
        while not self.transport.is_closing():
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.split(b"\r\n")
            length = 0
            for line in lines[1:]:
                if line[:15].lower() == b"content-length:":
                    length = int(line[15:])
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            method, path = lines[0].split(b" ")[:2]
            if method == b"POST":
                self.answer(path, orjson.loads(body))
            else:
                self.write(b"405 Method Not Allowed", b"")

    def answer(self, path: bytes, message: dict[str, Any]) -> None:
        """One message."""
        method, params = message["method"], message.get("params", {})
        match method:
            case "tools/call":
                self.call(path, message["id"], params["name"])
            case "tools/list":
                self.reply(message["id"], self.tools)
            case "initialize":
                told = {"protocolVersion": params["protocolVersion"], "serverInfo": ABOUT}
                self.reply(message["id"], orjson.dumps({**told, "capabilities": {"tools": {}}}))
            case "server/discover":
                told = {"supportedVersions": VERSIONS, "capabilities": {"tools": {}}, **FRESH}
                self.reply(message["id"], orjson.dumps(told))
            case "ping":
                self.reply(message["id"], b"{}")
            case _ if "id" not in message:
                self.write(b"202 Accepted", b"")
            case _:
                error = {"code": -32601, "message": "Method not found"}
                told = {"jsonrpc": "2.0", "id": message["id"], "error": error}
                self.write(b"404 Not Found", orjson.dumps(told))

    def call(self, path: bytes, number: Any, name: str) -> None:
        """A tool's result, or what a sick server does."""
        if path.startswith(b"/hang/"):
            return
        if path.startswith(b"/die/"):
            self.transport.abort()
        elif path.startswith(b"/flood/"):
            self.flooding = True
            task = asyncio.ensure_future(self.flood())
            self.task = task
        else:
            self.reply(number, BIG if name == "big" else SMALL)

    async def flood(self) -> None:
        """An answer without an end, as fast as it is read."""
        head = b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + head)
        chunk = b"%x\r\n%s\r\n" % (len(FLOOD), FLOOD)
        while not self.transport.is_closing():
            self.transport.write(chunk)
            await self.room.wait()
            await asyncio.sleep(0)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody reads any more."""
        self.room.set()

    def reply(self, number: Any, result: bytes) -> None:
        """A result under the request's id."""
        body = b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (orjson.dumps(number), result)
        self.write(b"200 OK", body)

    def write(self, status: bytes, body: bytes) -> None:
        """A whole answer."""
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (status, len(body), body)
        )


async def serve(count: int) -> None:
    """Serve on a free port, printed on the first line."""
    Upstream.tools = orjson.dumps({"tools": definitions(count), **FRESH})
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 50)))
