"""HTTP as this process serves it: uvicorn's, but an answer's head leaves with its first bytes.

uvicorn writes the head as soon as it is known, and the body right after it. Those are two packets,
and each wakes the client: on one machine that costs more than all that is done to a small body.
ASGI wants it so, too: a server sends nothing before the first message of the body (HTTP connection
scope, "Response Start").
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_INTERIM: Final = b"HTTP/1.1 1"


class Joined:
    """The transport of one answer: what is written first, its head, waits for what comes next."""

    __slots__ = ("_head", "_transport", "_waits")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._waits = True

    def write(self, data: bytes) -> None:
        """Keep the head; send it with whatever follows, even if that is empty."""
        if not self._waits:
            self._transport.write(data)
        elif self._head:
            self._waits = False
            self._transport.writelines((self._head, data))
        elif data.startswith(_INTERIM):
            self._transport.write(data)
        else:
            self._head = data

    def close(self) -> None:
        """Close, once all that was written is sent."""
        if self._waits and self._head:
            self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # An answer to HEAD has no body to wait for.
        if cycle.scope["method"] != "HEAD":
            joined = Joined(cycle.transport)
            cycle.transport = joined  # type: ignore[assignment]  # only written to and closed
        super()._start_asgi_task(cycle, app)
