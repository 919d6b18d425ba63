"""One HTTP server in this process, from its socket to the last request it lets finish."""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn

from quarterdeck.cli.local import Application
from quarterdeck.cli.protocol import Protocol
from quarterdeck.domain.errors import Invalid, Unavailable
from quarterdeck.loops.give_back_memory import trim

DRAIN_SECONDS: Final = 30  # for requests under way after a stop was asked for
KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 2048
STARTED_POLL_SECONDS: Final = 0.01
_ANYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104  compared with, not listened on


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; a used port is explained."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(
                f"port {port} on {host} is used by another program",
                hint="stop that one, or take another port, such as --port 0 for any free one",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Unavailable(
                f"this user may not listen on port {port}",
                hint="use a port above 1023: --port 7700",
            ) from error
        raise Invalid(
            f"cannot listen on `{host}`: {error.strerror}", hint="use --host 127.0.0.1"
        ) from error


def url_of(listening: socket.socket) -> str:
    """The address for programs on this machine."""
    host, port = listening.getsockname()[:2]
    if host in _ANYWHERE:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn would raise them again, and end us before the house has closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: Application, listening: socket.socket, *, on_stop: Callable[[], None]
) -> AsyncIterator["asyncio.Task[None]"]:
    """Serve within the block; the task it gives ends when a signal has stopped the server."""
    # What is loaded by now stays: a full collection that walked through it would stop every call
    # for 50 ms.
    gc.collect()
    gc.freeze()
    trim()
    server = _Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )

    def stop() -> None:
        if server.should_exit:
            server.force_exit = True
        server.should_exit = True
        on_stop()

    with on_signals(stop):
        task = asyncio.create_task(server.serve(sockets=[listening]), name="server")
        try:
            while not server.started and not task.done():  # noqa: ASYNC110  uvicorn has no event
                await asyncio.sleep(STARTED_POLL_SECONDS)
            yield task
        finally:
            server.should_exit = True
            await task


@contextlib.contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at SIGTERM and at Ctrl-C, instead of what they do by themselves."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
