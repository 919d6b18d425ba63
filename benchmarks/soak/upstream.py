"""The upstream of a soak: a raw HTTP server that does what each call's content says, and counts.

A call says `soak:KIND:NUMBER`. `GET /told` answers what was told so far: the upstream's own books.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from typing import Final, cast

import uvloop

from benchmarks.soak.kinds import tokens_of

WANTED: Final = re.compile(rb"soak:(\w+):(\d+)")
EVENTS = 8
ENDLESS_EVENTS = 400
ENDLESS_PAUSE = 0.05
SLOW_SECONDS = 0.3
RESET_SECONDS = 0.01
DEATH_SECONDS = 1.5  # longer than an idle connection's end is taken for
HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Books:
    """What was told to callers, by kind."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.input: Counter[str] = Counter()
        self.output: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.seen: set[int] = set()
        self.early: list[int] = []

    def answer(self, kind: str, number: int) -> dict[str, int]:
        """The usage of a call that is answered now."""
        told_input, told_output = tokens_of(number)
        self.answered[kind] += 1
        self.input[kind] += told_input
        self.output[kind] += told_output
        total = told_input + told_output
        return {
            "prompt_tokens": told_input,
            "completion_tokens": told_output,
            "total_tokens": total,
        }

    def as_json(self) -> bytes:
        """All of it."""
        kept = ("requests", "answered", "input", "output", "cut", "early")
        return json.dumps({name: getattr(self, name) for name in kept}).encode()


BOOKS: Final = Books()


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.buffer = b""
        self.task: asyncio.Task[None] | None = None
        self.kind = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count what was cut off while it was answered."""
        if self.task is not None and not self.task.done():
            BOOKS.cut[self.kind] += 1
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer a whole request; callers do not pipeline."""
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not found or (length is not None and len(body) < int(length[1])):
            return
        self.buffer = b""
        if head.startswith(b"GET /told"):
            self._send(200, BOOKS.as_json())
            return
        wanted = WANTED.search(body)
        assert wanted is not None, body
        self.kind, number = wanted[1].decode(), int(wanted[2])
        BOOKS.requests[self.kind] += 1
        if self.kind == "early_hang_up":
            BOOKS.early.append(number)
        self.task = asyncio.ensure_future(self._answer(self.kind, number))

    async def _answer(self, kind: str, number: int) -> None:
        match kind:
            case "stream":
                await self._stream(number)
            case "hang_up":
                await self._begin_stream(ENDLESS_EVENTS, ENDLESS_PAUSE)
            case "half":
                await self._begin_stream(EVENTS, 0.002)
                self.transport.abort()
            case "reset" | "died":
                await asyncio.sleep(RESET_SECONDS if kind == "reset" else DEATH_SECONDS)
                self.transport.abort()
            case "always_500":
                self._send(500, b'{"error":{"message":"it broke","type":"server_error"}}')
            case "always_429":
                self._send(429, b'{"error":{"message":"too many","type":"rate_limit_exceeded"}}')
            case "once_500" if number not in BOOKS.seen:
                BOOKS.seen.add(number)
                self._send(500, b'{"error":{"message":"it broke","type":"server_error"}}')
            case "slow" | "early_hang_up":
                await asyncio.sleep(SLOW_SECONDS)
                self._whole(kind, number)
            case _:
                self._whole(kind, number)

    def _whole(self, kind: str, number: int) -> None:
        message = {"role": "assistant", "content": f"All is well with call {number}. " * 8}
        answer = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": 1,
            "model": "soak",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": BOOKS.answer(kind, number),
        }
        self._send(200, json.dumps(answer).encode())

    async def _stream(self, number: int) -> None:
        await self._begin_stream(EVENTS, 0.003)
        self._event({"choices": [], "usage": BOOKS.answer("stream", number)})
        done = b"data: [DONE]\n\n"
        self.transport.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(done), done))

    async def _begin_stream(self, events: int, pause: float) -> None:
        self.transport.write(HEAD)
        for number in range(events):
            delta = {"content": f"word {number} "}
            self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            await asyncio.sleep(pause)

    def _event(self, event: dict[str, object]) -> None:
        told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "soak"} | event
        line = b"data: " + json.dumps(told).encode() + b"\n\n"
        self.transport.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} so\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def serve() -> None:
    """Serve on a free port, printed on the first line."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(uvloop.run(serve()))
