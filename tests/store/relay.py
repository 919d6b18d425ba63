"""A TCP relay that can lose the answer to a commit, as a network does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

Loss: TypeAlias = Literal["answer", "late", "request"]
LATE_SECONDS = 1.0
COMMIT = b"commit\0"  # as a statement ends on the wire: leaves hold the word, too


@dataclass
class Relay:
    """Stands between the product and a server; once armed it loses the next commit's answer.

    `answer`: the server gets the commit, its answer is lost. `late`: the client is cut off at once
    and the server gets the commit a second later. `request`: the server never gets it.
    """

    url: str
    armed: Loss | None = None
    lost: int = 0

    async def serve(
        self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Relay one connection until either side ends it."""
        there_reader, there_writer = await asyncio.open_connection(host, port)
        back = asyncio.create_task(_pump(there_reader, writer))
        try:
            while data := await reader.read(65536):
                loss = self.armed
                if loss is not None and COMMIT in data:
                    self.armed, self.lost = None, self.lost + 1
                    back.cancel()
                    if loss == "late":
                        writer.transport.abort()
                        await asyncio.sleep(LATE_SECONDS)
                    if loss != "request":
                        there_writer.write(data)
                        await there_writer.drain()
                        await asyncio.sleep(0.1)
                    return
                there_writer.write(data)
                await there_writer.drain()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            writer.transport.abort()
            there_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def relaying(url: str) -> AsyncIterator[Relay]:
    """A relay to the server of this URL; `relay.url` leads through it."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 5432
    relay = Relay("")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await relay.serve(host, port, reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    user = parts.username or "postgres"
    password = f":{parts.password}" if parts.password else ""
    listening = server.sockets[0].getsockname()[1]
    relay.url = f"postgresql://{user}{password}@127.0.0.1:{listening}{parts.path}"
    try:
        yield relay
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
