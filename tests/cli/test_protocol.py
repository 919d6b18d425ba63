"""An answer's head and its first bytes arrive together; nothing is held back for longer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn

from quarterdeck.cli.protocol import Joined, Protocol

Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Send], Awaitable[None]]
LENGTH_2 = [(b"content-length", b"2")]


@contextlib.asynccontextmanager
async def asked(app: App, *, method: bytes = b"GET", more: bytes = b"") -> AsyncIterator[Any]:
    """A connection on which `app` was asked something."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Protocol, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(method + b" / HTTP/1.1\r\nhost: x\r\n" + more + b"\r\n")
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await task


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def start(send: Send, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers or []})


class Kept:
    """A transport that keeps what it is given, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.writes.append(b"".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_the_head_and_the_first_bytes_are_one_write_and_the_rest_are_their_own() -> None:
    kept = Kept()
    joined = Joined(kept)  # type: ignore[arg-type]
    for piece in (b"HTTP/1.1 200 OK\r\n\r\n", b"one", b"HTTP/1.1 200 OK\r\n\r\n", b"two"):
        joined.write(piece)
    assert kept.writes == [
        b"HTTP/1.1 200 OK\r\n\r\none", b"HTTP/1.1 200 OK\r\n\r\n", b"two",
    ]  # fmt: skip


def test_an_interim_answer_is_not_held_back() -> None:
    kept = Kept()
    joined = Joined(kept)  # type: ignore[arg-type]
    for piece in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b""):
        joined.write(piece)
    assert kept.writes == [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]


def test_closing_sends_a_head_that_nothing_followed() -> None:
    kept = Kept()
    joined = Joined(kept)  # type: ignore[arg-type]
    joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
    joined.close()
    assert (kept.writes, joined.is_closing()) == ([b"HTTP/1.1 200 OK\r\n\r\n"], True)


async def test_the_server_writes_an_answer_once() -> None:
    writes: list[str] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        transport = send.__self__.transport  # type: ignore[attr-defined]
        writes.append(type(transport).__name__)
        await start(send, LENGTH_2)
        await send({"type": "http.response.body", "body": b"ok"})

    async with asked(app) as (reader, _):
        assert (await head_of(reader)).startswith(b"HTTP/1.1 200 OK")
        assert await reader.readexactly(2) == b"ok"
    assert writes == ["Joined"]


async def test_the_first_piece_of_a_stream_does_not_wait_for_the_second() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await start(send)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"two"})

    async with asked(app) as (reader, _):
        await head_of(reader)
        assert await reader.readuntil(b"one\r\n") == b"3\r\none\r\n"
        go_on.set()
        assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


async def test_an_answer_to_head_has_its_head_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await start(send, LENGTH_2)
        await send({"type": "http.response.body", "body": b""})

    async with asked(app, method=b"HEAD") as (reader, _):
        assert b"content-length: 2" in await head_of(reader)


async def test_an_application_that_breaks_after_the_head_ends_the_connection_after_it() -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await start(send, LENGTH_2)
        raise RuntimeError("it broke")

    async with asked(app) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")


async def test_a_body_that_is_waited_for_is_asked_for_before_the_answer() -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        message = await receive()
        await start(send, LENGTH_2)
        await send({"type": "http.response.body", "body": message["body"]})

    more = b"expect: 100-continue\r\ncontent-length: 2\r\n"
    async with asked(app, method=b"POST", more=more) as (reader, writer):
        assert await head_of(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await head_of(reader)).startswith(b"HTTP/1.1 200 OK")
        assert await reader.readexactly(2) == b"ok"
