"""The recorded exchanges with real vendors, and a vendor that plays them back byte for byte."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
import yaml

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "wire"
WHY_ABSENT = f"no recorded exchanges: {FOLDER} does not exist"
#: Which recording to play, in a header that passes to vendors.
NUMBER = "x-stainless-recording"
#: What of a recorded answer's headers says how to read it.
_KEPT = ("content-type", "content-encoding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One recorded request and its answer, as they were on the wire."""

    file: str
    method: str
    url: str
    request: bytes
    status: int
    headers: tuple[tuple[str, str], ...]
    answer: bytes

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> str:
        return urlsplit(self.url).query

    @property
    def asked(self) -> dict[str, Any]:
        """The request as JSON; empty where it is none."""
        try:
            found = json.loads(self.request or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def _bytes(written: Any) -> bytes:
    """A recorded body: text or bytes, wrapped or bare."""
    held = written.get("string") if isinstance(written, dict) else written
    return held.encode() if isinstance(held, str) else bytes(held or b"")


def _pinned(body: bytes) -> bytes:
    """A request for a floating alias, for the version it meant: no fleet grants an alias."""
    return body.replace(b"claude-3-5-haiku-latest", b"claude-3-5-haiku-20241022")


def _headers(recorded: Any) -> Iterator[tuple[str, str]]:
    for name, values in recorded.items():
        if name.lower() in _KEPT:
            yield name.lower(), values[0] if isinstance(values, list) else values


@lru_cache
def exchanges() -> tuple[Exchange, ...]:
    """All of them, in the order of the files."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = []
    for file in sorted(FOLDER.glob("*/*.yaml")):
        for seen in yaml.load(file.read_bytes(), loader)["interactions"]:
            asked, answered = seen["request"], seen["response"]
            found.append(
                Exchange(
                    file=f"{file.parent.name}/{file.name}",
                    method=asked["method"],
                    url=asked["uri"],
                    request=_pinned(_bytes(asked["body"])),
                    status=answered["status"]["code"],
                    headers=tuple(_headers(answered["headers"])),
                    answer=_bytes(answered["body"]),
                )
            )
    return tuple(found)


def route_of(exchange: Exchange) -> str:
    """Where an SDK whose base URL points here sends this request."""
    host, path = exchange.host, exchange.path
    if host == "api.anthropic.com":
        path = f"/anthropic{path}"
    elif host.endswith("amazonaws.com"):
        path = f"/bedrock{path}"
    elif host.endswith("openai.azure.com"):
        path = f"/azure{path}"
    else:
        path = f"/openai/v1{path.removeprefix('/v1').removeprefix('/beta')}"
    return f"{path}?{exchange.query}" if exchange.query else path


@dataclass
class Playback:
    """Answers each request with the recording its header names, cut into pieces of many sizes."""

    played: Sequence[Exchange]
    seen: dict[int, tuple[str, bytes]] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        number = int(dict(scope["headers"])[NUMBER.encode()])
        query = scope["query_string"].decode()
        self.seen[number] = (scope["path"] + (f"?{query}" if query else ""), body)
        exchange = self.played[number]
        headers = [(n.encode(), v.encode()) for n, v in exchange.headers]
        await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
        for piece in _cut(exchange.answer, number):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _cut(body: bytes, seed: int) -> Iterator[bytes]:
    sizes = cycle((1 + seed % 7, 4096, 13, 997, 65536))
    at = 0
    while at < len(body):
        size = next(sizes)
        yield body[at : at + size]
        at += size


@contextlib.asynccontextmanager
async def serving(app: Any, **tls: str) -> AsyncIterator[str]:
    """An application on a loopback port: its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="critical",
        timeout_graceful_shutdown=1,
        **tls,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
