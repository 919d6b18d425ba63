"""A vendor on a real socket that plays what a test wrote, and keeps what it was asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from quarterdeck.services.runs import StartedRun
from tests.serving import Running, running
from tests.wire.fleets import fleet_of
from tests.wire.recordings import serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered: a status, a type, and pieces. `ends` says how: whole, cut, or never."""

    pieces: Sequence[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    ends: str = "whole"


def said(body: Any, **more: Any) -> Reply:
    """A whole answer as JSON."""
    return Reply(pieces=[orjson.dumps(body)], **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came."""

    path: str
    raw_path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Vendor:
    """Answers by the end of the path; anything else is a 404 that no SDK of its takes for good."""

    replies: dict[str, Reply]
    asked: list[Asked] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        path = scope["path"]
        self.asked.append(
            Asked(
                path=path,
                raw_path=scope["raw_path"].decode(),
                query=unquote(scope["query_string"].decode()),
                headers={k.decode(): v.decode() for k, v in scope["headers"]},
                body=body,
            )
        )
        found = [reply for end, reply in self.replies.items() if path.endswith(end)]
        reply = found[0] if found else said({"message": f"no {path}"}, status=404)
        headers = (("content-type", reply.content_type), *reply.headers)
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(n.encode(), v.encode()) for n, v in headers],
            }
        )
        for piece in reply.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # pieces of their own on the wire
        if reply.ends == "cut":
            raise ConnectionAbortedError("the vendor dies in the middle")
        if reply.ends == "never":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.hung_up.set()
            return
        await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def stage(
    folder: Path,
    models: Mapping[str, Iterable[str]],
    replies: dict[str, Reply],
    *,
    allow: Iterable[str] = (),
) -> AsyncIterator[tuple[Running, Vendor, StartedRun]]:
    """A gateway in front of such a vendor, and a run whose agent may use these models."""
    vendor = Vendor(replies)
    async with serving(vendor) as url:
        files, _ = fleet_of(url, models, allow=allow)
        async with running(folder, files) as server:
            yield server, vendor, await server.start_run("agent-0")
