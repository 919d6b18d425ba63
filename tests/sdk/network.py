"""A network between the SDK and a server that can be away, lose answers, or say nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Network:
    """A TCP relay on one port. Connections that come while it is away are refused."""

    host: str
    port: int
    url: str = ""
    #: How many of the next requests reach the server and have their answer lost.
    lose: int = 0
    #: Whether requests are taken and never passed on.
    silent: bool = False
    connections: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        port = urlsplit(self.url).port or 0
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def go_away(self) -> None:
        """Refuse new connections and end those there are."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._relay(reader, writer)
        self._tasks.discard(task)
        writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(self.host, self.port)
        back = asyncio.create_task(self._answers(there, writer))
        try:
            while data := await reader.read(65536):
                if not self.silent:
                    onward.write(data)
        finally:
            back.cancel()
            onward.close()

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await there.read(65536):
                if self.lose:
                    self.lose -= 1
                    writer.transport.abort()
                    return
                writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def network(url: str) -> AsyncIterator[Network]:
    """A network to the server at this URL."""
    parts = urlsplit(url)
    found = Network(parts.hostname or "", parts.port or 0)
    await found.come_back()
    try:
        yield found
    finally:
        await found.go_away()
