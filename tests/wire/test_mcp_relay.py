"""The relay between the conformance suite and the gateway adds one line and changes no byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.wire.mcp_relay import relay

WHOLE = b"POST /mcp HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
CHUNKED = (
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;note=1\r\n\x00\xff\n\r\n2\r\nok\r\n0\r\n\r\n"
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n"


class Behind:
    """A server that keeps the bytes it got and answers nothing by itself."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.got = b""
        self.changed = asyncio.Event()
        self.gone = asyncio.Event()
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep what comes."""
        self.writer = writer
        with contextlib.suppress(ConnectionError):
            while found := await reader.read(65_536):
                self.got += found
                self.changed.set()
        self.gone.set()
        writer.close()

    async def until(self, expected: bytes) -> None:
        """Wait until it got that many bytes, and compare."""
        async with asyncio.timeout(10):
            while len(self.got) < len(expected):
                self.changed.clear()
                await self.changed.wait()
        assert self.got == expected


@contextlib.asynccontextmanager
async def between() -> AsyncIterator[tuple[Behind, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection through a relay to a server."""
    behind = Behind()
    server = await asyncio.start_server(behind.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with relay(f"http://127.0.0.1:{port}/mcp", "qd-1") as url:
        to = int(url.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", to)
        yield behind, reader, writer
        writer.close()
    server.close()


def credited(request: bytes) -> bytes:
    """The request with the one line more."""
    return request.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nAuthorization: Bearer qd-1\r\n", 1)


async def test_two_requests_on_a_connection_get_the_credential_and_nothing_else() -> None:
    async with between() as (behind, _, writer):
        writer.write(WHOLE)
        await behind.until(credited(WHOLE))
        writer.write(CHUNKED)
        await behind.until(credited(WHOLE) + credited(CHUNKED))


async def test_an_answer_passes_piece_by_piece_and_a_hang_up_reaches_the_server() -> None:
    async with between() as (behind, reader, writer):
        writer.write(CHUNKED)
        await behind.until(credited(CHUNKED))
        assert behind.writer is not None
        behind.writer.write(ANSWER)
        async with asyncio.timeout(10):
            assert await reader.readexactly(len(ANSWER)) == ANSWER
            assert not behind.gone.is_set()
            writer.close()
            await behind.gone.wait()
