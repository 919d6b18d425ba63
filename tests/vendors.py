"""A model vendor on a real socket that misbehaves on purpose: late, half, not at all, or rudely.

Each request is met by the next step of a script, the last step by every request after it. A step
is an async function that is given the connection and does to it whatever it likes.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

ANSWER = (
    b'{"model":"small-1","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5}}'
)
EVENTS = (
    b'data: {"model":"small-1","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
    b'data: {"model":"small-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}\n\n',
    b"data: [DONE]\n\n",
)


@dataclass
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    on_connection: int


@dataclass
class Connection:
    """A caller's connection, for a step to answer on or to spoil."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    request: Request

    async def until_gone(self) -> None:
        """Wait until the caller has hung up."""
        await self.reader.read(1)
        self.close()

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int = 200, body: bytes = ANSWER, **headers: str) -> None:
        """A whole answer; the connection is kept."""
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """End the connection rudely: what was not read yet is answered by a reset."""
        found = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        """End the connection politely, without a word."""
        self.writer.close()


Step = Callable[[Connection], Awaitable[None]]


def says(status: int = 200, body: bytes = ANSWER, **headers: str) -> Step:
    """Answer like this."""
    return lambda connection: connection.answer(status, body, **headers)


def streams(*events: bytes) -> Step:
    """Answer a stream of these events, by default a whole one."""

    async def step(connection: Connection) -> None:
        head = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        await connection.send(head + b"".join(events or EVENTS))
        connection.close()

    return step


async def hangs(connection: Connection) -> None:
    """Say nothing for as long as the caller listens."""
    await connection.until_gone()


async def hangs_in_the_middle(connection: Connection) -> None:
    """Say the beginning of a stream, and nothing more."""
    head = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    await connection.send(head + EVENTS[0])
    await connection.until_gone()


async def hangs_after_headers(connection: Connection) -> None:
    """Promise an answer, and send nothing of it."""
    await connection.send(b"HTTP/1.1 200 X\r\ncontent-length: 20\r\n\r\n")
    await connection.until_gone()


async def breaks_in_the_middle(connection: Connection) -> None:
    """Say the beginning of a whole answer, and go."""
    await connection.send(b"HTTP/1.1 200 X\r\ncontent-length: 500\r\n\r\n" + ANSWER[:20])
    connection.close()


async def resets(connection: Connection) -> None:
    """Take the request and reset the connection."""
    connection.reset()


async def closes(connection: Connection) -> None:
    """Take the request and close the connection."""
    connection.close()


@dataclass
class Vendor:
    """What plays the script, and what it has seen."""

    steps: tuple[Step, ...]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    serving: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        self.connections += 1
        number, count = self.connections, 0
        try:
            while not writer.is_closing():
                count += 1
                request = await _read(reader, number, count)
                self.requests.append(request)
                self.asked.set()
                step = self.steps[min(len(self.requests), len(self.steps)) - 1]
                await step(Connection(reader, writer, request))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the caller went, or the test is over
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            self.serving.discard(task)


async def _read(reader: asyncio.StreamReader, connection: int, count: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in filter(None, head[1:]):
        name, _, value = line.partition(":")
        found = headers.get(name.lower())
        headers[name.lower()] = value.strip() if found is None else f"{found}, {value.strip()}"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(head[0].split(" ")[1], headers, body, connection, count)


@contextlib.asynccontextmanager
async def vendor(*steps: Step) -> AsyncIterator[Vendor]:
    """A vendor on a loopback port."""
    playing = Vendor(steps or (says(),))
    server = await asyncio.start_server(playing.serve, "127.0.0.1", 0)
    playing.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield playing
    finally:
        server.close()
        for task in list(playing.serving):
            task.cancel()
        await asyncio.gather(*playing.serving, return_exceptions=True)


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"
