"""A relay that adds `Authorization: Bearer` to every request and changes nothing else.

The official suite sends no credential, and the gateway serves nobody without one. Heads are read
just far enough to put the line in; bodies, answers and streams pass as the bytes they are, and an
end that goes takes the other with it, because closing a stream is how a client cancels.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

CHUNK_BYTES: Final = 65_536
HEAD_BYTES_MAX: Final = 1 << 20


@contextlib.asynccontextmanager
async def relay(url: str, credential: str) -> AsyncIterator[str]:
    """The address to use instead of `url`."""
    target = urlsplit(url)
    line = f"Authorization: Bearer {credential}\r\n".encode()
    open_now: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        task.add_done_callback(open_now.discard)
        try:
            there = await asyncio.open_connection(target.hostname, target.port)
            await _pass_on((reader, writer), there, line)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # an end went, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}{target.path}"
    finally:
        server.close()
        for task in list(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pass_on(client: Ends, server: Ends, line: bytes) -> None:
    """Both directions, until one of them ends."""
    ways = [
        asyncio.create_task(_requests(client[0], server[1], line)),
        asyncio.create_task(_copy(server[0], client[1])),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        server[1].close()
        await asyncio.gather(*ways, return_exceptions=True)


async def _requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes
) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        writer.write(first + b"\r\n" + line + rest)
        fields = dict(
            (name.strip().lower(), value.strip().lower())
            for name, _, value in (field.partition(b":") for field in rest.split(b"\r\n"))
        )
        if fields.get(b"transfer-encoding") == b"chunked":
            await _chunks(reader, writer)
        else:
            await _exactly(reader, writer, int(fields.get(b"content-length", b"0")))
        await writer.drain()


async def _chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = -1
    while size != 0:
        first = await reader.readuntil(b"\r\n")
        size = int(first.partition(b";")[0], 16)
        writer.write(first)
        await _exactly(reader, writer, size + 2)


async def _exactly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
    while left:
        found = await reader.readexactly(min(left, CHUNK_BYTES))
        writer.write(found)
        await writer.drain()
        left -= len(found)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while found := await reader.read(CHUNK_BYTES):
        writer.write(found)
        await writer.drain()
