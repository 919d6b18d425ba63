"""How one request is answered: as one JSON body, or as events from the first thing said before it.

A stream begins only when there is something to say, or when the answer takes so long that somebody
on the way might think the connection dead; then a comment keeps it alive.
"""

import asyncio
from typing import Final

from quarterdeck.domain.limits import MCP_KEEPALIVE_SECONDS
from quarterdeck.gateways.llm.body import Send

Header = tuple[bytes, bytes]
EVENTS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_JSON: Final[Header] = (b"content-type", b"application/json")
_PRIVATE: Final[Header] = (b"cache-control", b"no-store")
_COMMENT: Final = b": still here\n\n"


class Answering:
    """The response to one request. Messages are whole and already written."""

    def __init__(self, send: Send, *, streams: bool, headers: tuple[Header, ...] = ()) -> None:
        self._send = send
        self._headers = headers
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self._ended = False
        self.streams = streams
        self.streaming = False

    def keep_alive(self) -> None:
        """From now on say something now and then, if the client can hear it."""
        if self.streams:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(MCP_KEEPALIVE_SECONDS, self._begin_comment)

    def _begin_comment(self) -> None:
        self._comment = asyncio.ensure_future(self._say(_COMMENT))
        self.keep_alive()

    async def say(self, message: bytes) -> bool:
        """Send a message before the answer; False if the client takes no streams."""
        if not self.streams:
            return False
        await self._say(event(message))
        return True

    async def begin(self) -> None:
        """Begin the stream though nothing is said yet."""
        await self._say(_COMMENT)

    async def _say(self, written: bytes) -> None:
        async with self._lock:
            if self._ended:
                return
            if not self.streaming:
                self.streaming = True
                await self._start(200, EVENTS)
            await self._send({"type": "http.response.body", "body": written, "more_body": True})

    async def end(
        self, body: bytes, *, status: int = 200, headers: tuple[Header, ...] = ()
    ) -> None:
        """Send the answer, as the last event where a stream has begun."""
        self.stop()
        async with self._lock:
            self._ended = True
            if self.streaming:
                await self._send({"type": "http.response.body", "body": event(body)})
                return
            length = (b"content-length", str(len(body)).encode())
            kind = (_JSON,) if body else ()
            await self._start(status, (*kind, _PRIVATE, length, *headers))
            await self._send({"type": "http.response.body", "body": body})

    async def close(self) -> None:
        """End a stream without an answer."""
        self.stop()
        async with self._lock:
            if self.streaming and not self._ended:
                self._ended = True
                await self._send({"type": "http.response.body", "body": b""})

    def stop(self) -> None:
        """No further comments."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _start(self, status: int, headers: tuple[Header, ...]) -> None:
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, *self._headers],
            }
        )


def event(message: bytes) -> bytes:
    """A message as one event. JSON may have line breaks between its parts; events may not."""
    if b"\n" in message or b"\r" in message:
        message = message.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: message\ndata: " + message + b"\n\n"
