"""Serving the stand-in: a socket, uvicorn, and one line of JSON when it is ready."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from quarterdeck.domain.errors import Unavailable
from quarterdeck_standin.app import TRANSPORT_KEY, StandIn

CLOSING_SECONDS_MAX: Final = 1


class WireProtocol(HttpToolsProtocol):
    """HTTP that also hands the application its connection, for replies that are not HTTP."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope[TRANSPORT_KEY] = self.transport  # type: ignore[typeddict-unknown-key]  # our own key


class Server(uvicorn.Server):
    """A server that says on stdout where it is, once it is there."""

    def __init__(self, app: StandIn, *, listener: socket.socket, announce: bool) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=WireProtocol,
                ws="none",
                lifespan="off",
                log_level="critical",
                access_log=False,
                server_header=False,
                backlog=2048,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=CLOSING_SECONDS_MAX,
            )
        )
        self._mode = app.brain.mode
        self._listener = listener
        self._announce = announce
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start accepting connections."""
        await super().startup(sockets)
        self.ready.set()
        if self._announce:
            ready = {"url": url_of(self._listener), "mode": self._mode, "pid": os.getpid()}
            print(json.dumps(ready), flush=True)


class QuietServer(Server):
    """A server inside another program: signals stay with that program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to the port, or to a free one for port 0."""
    # Named TCP, or asyncio leaves Nagle's algorithm on, and small writes wait for each other.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = "choose another with --port, or --port 0 for a free one"
        raise Unavailable(f"port `{port}` cannot be used: {error.strerror}", hint=hint) from error
    return listener


def serve(app: StandIn, *, host: str, port: int) -> None:
    """Serve until a signal says stop."""
    listener = listening(host, port)
    server = Server(app, listener=listener, announce=True)
    # uvicorn raises a signal again once it has closed; being told to stop is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


@contextlib.asynccontextmanager
async def serving(app: StandIn) -> AsyncIterator[str]:
    """Serve inside the running loop on a free port of this machine, and say where."""
    listener = listening("127.0.0.1", 0)
    server = QuietServer(app, listener=listener, announce=False)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.ready.wait()
        yield url_of(listener)
    finally:
        server.should_exit = True
        await task
