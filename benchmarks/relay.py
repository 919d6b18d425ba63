"""The same server and client as ours with nothing between them: what the stack itself costs."""

import sys

import aiohttp
import uvicorn
import uvloop

UPSTREAM = sys.argv[1] if len(sys.argv) > 1 else ""


class Relay:
    """Reads a body, posts it on, passes the answer's chunks back."""

    session: aiohttp.ClientSession

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        """One request."""
        body = (await receive())["body"]
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        async with self.session.post(UPSTREAM, data=body, headers=headers) as answer:
            kept = [(b"content-type", answer.headers["content-type"].encode())]
            if "content-length" in answer.headers:
                kept.append((b"content-length", answer.headers["content-length"].encode()))
            await send({"type": "http.response.start", "status": answer.status, "headers": kept})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def serve() -> None:
    """Serve on a free port, printed on the first line."""
    import socket

    app = Relay()
    app.session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", access_log=False, log_level="warning"
    )
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(serve())
