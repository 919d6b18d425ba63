"""The outermost layer of the API: bounds every body, and turns what nobody expected into an answer.

Starlette's own outermost layer would answer and then raise on, which ends an in-process caller.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

import structlog
from fastapi import HTTPException
from starlette.responses import Response

from quarterdeck.api import errors
from quarterdeck.domain.limits import BODY_BYTES_MAX

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = structlog.get_logger("api")


@dataclass(frozen=True, slots=True)
class Edge:
    """ASGI around the API."""

    app: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        refusal = _refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        inner = {**scope, "root_path": ""}  # paths are routed whole, wherever this was mounted
        reading = _bounded(receive)
        if scope["method"] == "HEAD":
            inner["method"], head = "GET", _Head(reading, sending)
            reading, sending = head.receive, head.send
        try:
            await self.app(inner, reading, sending)
        except Exception:
            _log.exception("request_failed", method=scope["method"], path=scope["path"])
            if started:
                raise
            await errors.internal()(scope, receive, send)


@dataclass(slots=True)
class _Head:
    """A GET whose body is left out; a long one is broken off after its headers."""

    inner_receive: Receive
    inner_send: Send
    begun: bool = False

    async def receive(self) -> Message:
        """What comes in; the caller is gone as soon as it has the headers."""
        return {"type": "http.disconnect"} if self.begun else await self.inner_receive()

    async def send(self, message: Message) -> None:
        """The headers, and the end."""
        if message["type"] == "http.response.start":
            await self.inner_send(message)
            self.begun = True
            await self.inner_send({"type": "http.response.body", "body": b""})


def _refusal(scope: Scope) -> Response | None:
    """What is refused before anything is read."""
    if "\0" in scope["path"] or b"\0" in unquote_to_bytes(scope["query_string"]):
        return errors.answer("invalid", "the address holds a NUL character", "leave it out")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > BODY_BYTES_MAX:
            return errors.too_large()
    return None


def _bounded(receive: Receive) -> Receive:
    """A body of unsaid length is counted as it comes."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_BYTES_MAX:
            raise HTTPException(413)
        return message

    return receiving
