"""A small HTTP API on a real socket, and a fleet whose tools are its operations."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
import yaml

from tests.fleets import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came off the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body."""
        return orjson.loads(self.body)

    def form(self) -> dict[str, str]:
        """Its body, as forms are written."""
        return dict(parse_qsl(self.body.decode()))


#: The bytes of an answer; `b""` closes the connection, None leaves it unanswered.
Answers = Callable[[Asked], bytes | None]


def answer(status: int = 200, body: object = None, **headers: str) -> bytes:
    """An answer with a JSON body; bytes go as they are."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    said = {"content-type": "application/json", "content-length": str(len(raw))}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + raw


@dataclass(slots=True)
class Api:
    """A server that answers what a test says, and what it was asked."""

    url: str
    answers: Answers
    asked: list[Asked] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, asked: Asked) -> bytes | None:
        """Keep what was asked, and answer."""
        self.asked.append(asked)
        self.arrived.set()
        return self.answers(asked)


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method=method, target=target, headers=headers, body=body)


@contextlib.asynccontextmanager
async def api(answers: Answers = lambda _: answer(200, {"ok": True})) -> AsyncIterator[Api]:
    """The API on loopback."""
    made = Api("", answers)
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while (asked := await _read(reader)) is not None:
                said = made(asked)
                if said is None:
                    await made.release.wait()
                    return
                if not said:
                    return
                writer.write(said)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        made.release.set()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def text_argument(*names: str) -> dict[str, Any]:
    """The schema of arguments that are all text."""
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
    }


def operation(name: str, method: str, path: str, **fields: Any) -> dict[str, Any]:
    """The contract of an operation of the server `billing`."""
    http = {n: fields.pop(n) for n in ("query", "headers", "body") if n in fields}
    effect = "read" if method == "GET" else "write"
    usual: dict[str, Any] = {
        "name": name,
        "description": "An operation of the tests.",
        "effect": effect,
        "timeout_seconds": 2,
        "cost": "0.001",
        "http": {"server": "billing", "method": method, "path": path, **http},
    }
    if effect == "write":
        usual |= {"reversible": "compensation", "records": {"written": 1}}
    return usual | fields


def fleet_of(
    url: str,
    *operations: dict[str, Any],
    server: Mapping[str, Any] | None = None,
    own_secret: str | None = None,
) -> dict[str, bytes]:
    """The small fleet, with these operations granted to its clerk."""
    found = dict(files())
    entry = {"name": "billing", "protocol": "http", "url": url, **(server or {})}
    found["servers/billing.yaml"] = yaml.safe_dump(entry).encode()
    for contract in operations:
        found[f"tools/{contract['name']}.yaml"] = yaml.safe_dump(contract).encode()
    agent = yaml.safe_load(found["agents/clerk.yaml"])
    agent["tools"] += [contract["name"] for contract in operations]
    agent["radius"] = {"written": 10**9, "deleted": 10**9, "messages": 10**9}
    if own_secret is not None:
        agent["servers"] = {"billing": {"secret": own_secret}}
    found["agents/clerk.yaml"] = yaml.safe_dump(agent).encode()
    return found
