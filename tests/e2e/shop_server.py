"""The shop's server process, started as a user starts it, and spoken to over its own wires."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import httpx2

from tests.e2e.shop_tasks import SERVER, Refused

STOP_SECONDS = 20


class Wire(Protocol):
    """Something that carries messages to the shop."""

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The whole answer to one request."""
        ...


@dataclass(slots=True)
class Shop:
    """A shop that listens, and the file its database is in."""

    wire: Wire
    database: Path

    def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """What a tool answers; raises `Refused` where it is an error that a model can read."""
        answer = self.wire.ask("tools/call", {"name": tool, "arguments": arguments})
        result = answer["result"]
        if result.get("isError"):
            raise Refused(result["content"][0]["text"])
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        return result["structuredContent"]


@dataclass(slots=True)
class Lines:
    """Messages by standard input and output."""

    process: subprocess.Popen[bytes]
    ids: Iterator[int] = field(default_factory=count)

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One line there, one back."""
        request = next(self.ids)
        message = {"jsonrpc": "2.0", "id": request, "method": method, "params": params}
        answer = self.say(json.dumps(message).encode())
        assert answer["id"] == request
        return answer

    def say(self, line: bytes) -> dict[str, Any]:
        """Any line at all, and what comes back."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))


@dataclass(slots=True)
class Posts:
    """Messages by streamable HTTP."""

    url: str
    client: httpx2.Client
    ids: Iterator[int] = field(default_factory=count)

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One POST."""
        request = next(self.ids)
        message = {"jsonrpc": "2.0", "id": request, "method": method, "params": params}
        answered = self.client.post(self.url, json=message)
        assert answered.status_code == 200, answered.text
        answer = dict(answered.json())
        assert answer["id"] == request
        return answer


@contextlib.contextmanager
def stdio(database: Path, data: Path) -> Iterator[Shop]:
    """The server behind its standard input and output."""
    with _process("--database", str(database), "--data", str(data)) as process:
        shop = Shop(Lines(process), database)
        shop.wire.ask("initialize", {"protocolVersion": "2025-11-25"})
        yield shop


@contextlib.contextmanager
def http(database: Path, data: Path, *, token: str | None = None) -> Iterator[Shop]:
    """The server on a loopback port of its choice."""
    named = ("--database", str(database), "--data", str(data), "--http", "127.0.0.1:0")
    more = {} if token is None else {"SHOP_TOKEN": token}
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    with (
        _process(*named, **more) as process,
        httpx2.Client(headers=headers, trust_env=False) as client,
    ):
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Shop(Posts(said["url"], client), database)


@contextlib.contextmanager
def _process(*arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, str(SERVER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **more},
    )
    with process:
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.terminate()
            process.wait(STOP_SECONDS)


def snapshot(database: Path) -> Path:
    """A copy of the database as it is now, to go back to."""
    copy = database.with_suffix(".before")
    _copied(database, copy)
    return copy


def restore(snapshot: Path, database: Path) -> None:
    """Put the database back, whoever has it open; they see it with their next transaction."""
    _copied(snapshot, database)


def _copied(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
