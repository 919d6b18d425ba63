"""A closed-loop load generator over raw sockets: cheap enough not to be what is measured."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Load:
    """What one burst of calls showed."""

    per_second: float
    p50_ms: float
    p99_ms: float
    first_byte_p50_ms: float
    failed: int


class Client(asyncio.Protocol):
    """One connection; it asks one thing at a time."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.first: float | None = None
        self.whole: asyncio.Future[int] | None = None
        self.lost = False
        #: When what has come is all that was waited for; a caller that hangs up waits for less.
        self.enough: Callable[[bytearray], bool] = is_whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes) -> int:
        """Send it and wait for the whole answer; its status, 0 if the connection broke."""
        self.buffer.clear()
        self.first = None
        if self.lost:
            return 0
        self.whole = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.whole

    def data_received(self, data: bytes) -> None:
        """Note when the first byte came, and whether the answer is whole."""
        if self.first is None:
            self.first = time.perf_counter()
        self.buffer += data
        if self.whole is not None and not self.whole.done() and self.enough(self.buffer):
            self.whole.set_result(int(self.buffer[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits is told that nothing more comes."""
        self.lost = True
        if self.whole is not None and not self.whole.done():
            self.whole.set_result(0)


def is_whole(buffer: bytearray) -> bool:
    """Whether an answer has come to its end."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(buffer[:end]).lower()
    if b"transfer-encoding: chunked" in head:
        return buffer.endswith(b"0\r\n\r\n")
    at = head.find(b"content-length:")
    if at < 0:
        return False
    length = int(head[at + 15 :].split(b"\r\n", 1)[0])
    return len(buffer) >= end + 4 + length


async def burst(
    port: int, request: bytes | Callable[[], bytes], *, at_once: int, seconds: float
) -> Load:
    """Send the same request, or the next one, over `at_once` connections for some seconds."""
    following = request if callable(request) else lambda: request
    loop = asyncio.get_running_loop()
    times: list[float] = []
    firsts: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal failed
        _, client = await loop.create_connection(Client, "127.0.0.1", port)
        while (began := time.perf_counter()) < until:
            status = await client.ask(following())
            ended = time.perf_counter()
            if status != 200:
                failed += 1
                if status == 0:
                    break
                continue
            times.append(ended - began)
            firsts.append((client.first or ended) - began)
        client.transport.close()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    elapsed = time.perf_counter() - began
    times.sort()
    return Load(
        per_second=len(times) / elapsed,
        p50_ms=statistics.median(times) * 1000 if times else float("nan"),
        p99_ms=times[int(len(times) * 0.99)] * 1000 if times else float("nan"),
        first_byte_p50_ms=statistics.median(firsts) * 1000 if firsts else float("nan"),
        failed=failed,
    )


def chat_request(
    port: int, path: str, credential: str, *, streamed: bool, headers: str = ""
) -> bytes:
    """A chat request of about a kilobyte; `headers` are further lines, each with its end."""
    content = b"How do I get a refund for an order that never arrived? " * 16
    body = (
        b'{"model":"bench-1","max_tokens":100,'
        + (b'"stream":true,"stream_options":{"include_usage":true},' if streamed else b"")
        + b'"messages":[{"role":"user","content":"'
        + content
        + b'"}]}'
    )
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {credential}\r\n{headers}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
