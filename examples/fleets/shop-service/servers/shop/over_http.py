"""Messages by streamable HTTP at `/mcp`: one request a POST, one JSON answer.

No sessions, no streams: nothing here speaks unasked. A browser's page cannot reach it (`Origin`,
`Host`), and beyond this machine it listens only with a token.
"""

import hmac
import json
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import uvicorn

from shop.protocol import (
    HANDSHAKE,
    HEADER_MISMATCH,
    INVALID_REQUEST,
    NO_METHOD,
    PARSE_ERROR,
    STATELESS,
    UNSUPPORTED_VERSION,
    Failed,
    answer,
    error,
    parsed,
    stateless_version,
)

BODY_BYTES_MAX = 1024 * 1024
FROM_HEADERS = (HEADER_MISMATCH, UNSUPPORTED_VERSION)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Declined(Exception):
    """A request that is answered by its status alone."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(status)
        self.status, self.headers = status, headers


class Application:
    """The ASGI application around one database."""

    def __init__(self, shop: sqlite3.Connection, token: str | None) -> None:
        self._shop = shop
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1"): held.decode("latin-1") for name, held in scope["headers"]
        }
        try:
            self._admit(scope, headers)
            status, body = self._answered(headers, await _body(receive))
            more: dict[str, str] = {}
        except Declined as declined:
            status, body, more = declined.status, b"", declined.headers
        if body:
            more["content-type"] = "application/json"
        raw = [(name.replace("_", "-").encode(), held.encode()) for name, held in more.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> None:
        if scope["path"] != "/mcp":
            raise Declined(404)
        if "origin" in headers or (self._token is None and not _is_loopback(headers.get("host"))):
            raise Declined(403)
        if self._token is not None and not hmac.compare_digest(
            headers.get("authorization", "").encode(), f"Bearer {self._token}".encode()
        ):
            raise Declined(401, www_authenticate="Bearer")
        if scope["method"] != "POST":
            raise Declined(405, allow="POST")

    def _answered(self, headers: Mapping[str, str], raw: bytes) -> tuple[int, bytes]:
        message = None
        try:
            message = parsed(raw)
            _must_agree(headers, message)
            said = answer(self._shop, message)
        except Failed as failed:
            said = error(message.get("id") if isinstance(message, dict) else None, failed)
        if said is None:
            return 202, b""
        return _status(message, said), json.dumps(said).encode()


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Declined(400)
        body += event.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise Declined(413)
        if not event.get("more_body"):
            return bytes(body)


def _must_agree(headers: Mapping[str, str], message: Any) -> None:
    """Headers are for those on the way; where they say something else, somebody is misled."""
    header, named = headers.get("mcp-protocol-version"), stateless_version(message)
    if named is None:
        if header in STATELESS and isinstance(message, dict) and "id" in message:
            raise Failed(HEADER_MISMATCH, "the header names a revision that the request does not")
        if header not in (None, *HANDSHAKE, *STATELESS):
            raise Failed(UNSUPPORTED_VERSION, "this revision of the protocol is not spoken")
        return
    method, name = message.get("method"), message["params"].get("name")
    expected = {"mcp-protocol-version": named, "mcp-method": method}
    if method == "tools/call":
        expected["mcp-name"] = name
    for key, value in expected.items():
        if headers.get(key) != value:
            raise Failed(HEADER_MISMATCH, f"the header `{key}` and the request disagree")


def _status(message: Any, said: Mapping[str, Any]) -> int:
    if "error" not in said:
        return 200
    code = said["error"]["code"]
    if stateless_version(message) is not None:
        return 404 if code == NO_METHOD else 400
    return 400 if code in (PARSE_ERROR, INVALID_REQUEST, *FROM_HEADERS) else 200


def _is_loopback(host: str | None) -> bool:
    name = (host or "").rsplit(":", 1)[0] if not (host or "").endswith("]") else host
    return name in LOOPBACK


def serve(shop: sqlite3.Connection, host: str, port: int, token: str | None) -> None:
    """Listen until stopped; says where on standard output."""
    with socket.create_server((host, port)) as listening:
        bound = listening.getsockname()[1]
        print(json.dumps({"url": f"http://{host}:{bound}/mcp"}), flush=True)
        application = Application(shop, token)
        config = uvicorn.Config(application, log_level="warning", lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])
