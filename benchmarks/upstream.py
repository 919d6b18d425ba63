"""A raw HTTP server that answers chat calls at once: the upstream every gateway figure is beside.

Not the stand-in: no parsing beyond the request's end and no framework: what is measured is ours.
"""

import asyncio
import sys

import uvloop

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench-1","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"'
    + b"All is well with the order. "
    * 20
    + b'"},"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":90,'
    b'"total_tokens":210}}'
)
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(ANSWER)).encode()
    + b"\r\n\r\n"
    + ANSWER
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = 20


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


STREAM = [
    _chunk(
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"bench-1","choices":'
        b'[{"index":0,"delta":{"content":"word %d "},"finish_reason":null}]}\n\n' % number
    )
    for number in range(EVENTS - 2)
]
STREAM.append(
    _chunk(
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"bench-1",'
        b'"choices":[],"usage":{"prompt_tokens":120,"completion_tokens":90,"total_tokens":210}}\n\n'
    )
)
STREAM.append(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


class Upstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport
        self.buffer = b""
        self.tasks: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            if b'"stream":true' in body or b'"stream": true' in body:
                task = asyncio.ensure_future(self.stream())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            else:
                self.transport.write(WHOLE)

    async def stream(self) -> None:
        """Twenty separate writes."""
        self.transport.write(HEAD)
        for chunk in STREAM:
            self.transport.write(chunk)
            await asyncio.sleep(0)


async def serve() -> None:
    """Serve on a free port, printed on the first line."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(uvloop.run(serve()))
