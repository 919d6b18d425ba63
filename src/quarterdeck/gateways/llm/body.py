"""Reading a request's body within its limit, and knowing when the client has hung up."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from quarterdeck.domain.limits import BODY_BYTES_MAX

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

WATCH_AFTER_SECONDS: Final = 0.02


class TooLarge(Exception):
    """The body is larger than it may be."""


class HungUp(Exception):
    """The client closed the connection."""


async def read_body(scope: Scope, receive: Receive, most: int = BODY_BYTES_MAX) -> bytes:
    """The whole body. A length that says too much is refused before anything is read."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise TooLarge
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise TooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class HangUpWatch:
    """Cancels the task it is entered in when the client hangs up; `hung_up` says that it did.

    It begins to look after WATCH_AFTER_SECONDS: most calls are over by then, and a task for each
    costs more than what it could save.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False
        self._watch: asyncio.Task[None] | None = None
        self.hung_up = False

    async def __aenter__(self) -> "HangUpWatch":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._begin = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._look)
        return self

    def _look(self) -> None:
        self._watch = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._over:
            self.hung_up = True
            self._task.cancel()

    async def __aexit__(self, kind: object, error: object, trace: object) -> bool:
        self._over = True
        self._begin.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self.hung_up and kind is asyncio.CancelledError:
            self._task.uncancel()
            return True
        return False
