"""What is asked of every target, and that each answers what the upstream said."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.load import Client, chat_request
from benchmarks.peers.processes import KEY
from benchmarks.upstream import ANSWER, EVENTS

DIRECT, GOVERNED = "/v1/chat/completions", "/openai/v1/chat/completions"
USAGE: Final = (120, 90, 210)


class Wrong(Exception):
    """A target answered something else than the upstream said."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something that answers a chat call."""

    name: str
    port: int
    path: str = DIRECT
    credential: str = KEY
    headers: str = ""
    pid: int | None = None

    def request(self, *, streamed: bool) -> bytes:
        """The call, byte for byte."""
        return chat_request(
            self.port, self.path, self.credential, streamed=streamed, headers=self.headers
        )


async def check_wire(target: Target) -> None:
    """A whole answer and a stream carry the upstream's very text and usage."""
    told = json.loads(ANSWER)["choices"][0]["message"]["content"]
    status, body = await exchange(target.port, target.request(streamed=False))
    if status != 200:
        raise Wrong(f"{target.name} answered {status}: {body[:500]!r}")
    answer = json.loads(body)
    text = answer["choices"][0]["message"]["content"]
    _equal(target, "text", text, told)
    _equal(target, "usage", _usage(answer["usage"]), USAGE)
    status, body = await exchange(target.port, target.request(streamed=True))
    if status != 200:
        raise Wrong(f"{target.name} answered a stream with {status}: {body[:500]!r}")
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    _equal(target, "end of the stream", lines[-1], "[DONE]")
    events = [json.loads(line) for line in lines[:-1]]
    deltas = [c["delta"].get("content") or "" for e in events for c in e["choices"]]
    _equal(
        target, "text streamed", "".join(deltas), "".join(f"word {n} " for n in range(EVENTS - 2))
    )
    used = [_usage(event["usage"]) for event in events if event.get("usage")]
    _equal(target, "usage streamed", used[-1:], [USAGE])


def _usage(usage: dict[str, Any]) -> tuple[int, int, int]:
    return usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]


def _equal(target: Target, what: str, found: object, told: object) -> None:
    if found != told:
        raise Wrong(f"{target.name}: the {what} is {found!r}, the upstream said {told!r}")


async def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """One call on a connection of its own: status, and the body without its framing."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Client, "127.0.0.1", port)
    async with asyncio.timeout(30):
        status = await client.ask(request)
    client.transport.close()
    head, _, body = bytes(client.buffer).partition(b"\r\n\r\n")
    return status, unchunked(body) if b"chunked" in head.lower() else body


def unchunked(body: bytes) -> bytes:
    """A chunked body's content."""
    found = bytearray()
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size.split(b";")[0], 16)
        found += rest[:count]
        body = rest[count + 2 :]
    return bytes(found)
