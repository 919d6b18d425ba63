"""The same server and client as ours with nothing between them: what the stack itself costs."""

import sys

import uvicorn
import uvloop
from yarl import URL

from quarterdeck.upstream.connection import Patience
from quarterdeck.upstream.pool import Pool
from quarterdeck.upstream.requests import origin_of

UPSTREAM = URL(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:1/")
ORIGIN = origin_of(UPSTREAM)
SOON = Patience(first_byte=60, between_bytes=60, total=60)


class Relay:
    """Reads a body, posts it on, passes the answer's chunks back."""

    pool: Pool

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        """One request."""
        body = (await receive())["body"]
        head = (
            f"POST {UPSTREAM.path} HTTP/1.1\r\nhost: {UPSTREAM.authority}\r\n"
            "content-type: application/json\r\naccept-encoding: identity\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        connection = self.pool.take(ORIGIN) or await self.pool.connect(ORIGIN, 5)
        await connection.ask(head.encode(), body, SOON)
        kept = [
            (name.encode(), value.encode())
            for name, value in connection.headers
            if name in ("content-type", "content-length")
        ]
        await send({"type": "http.response.start", "status": connection.status, "headers": kept})
        while chunk := await connection.more():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.pool.give_back(connection)


async def serve() -> None:
    """Serve on a free port, printed on the first line."""
    import socket

    app = Relay()
    app.pool = Pool()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", access_log=False, log_level="warning"
    )
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(serve())
