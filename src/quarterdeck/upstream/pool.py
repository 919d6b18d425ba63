"""The connections of one process to vendors and servers: made, kept for the next call, let go.

A name is looked up once for all who ask at the same time, and addresses of either family race for
the connection (RFC 8305): one that answers nobody costs a quarter of a second, not a call.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple, TypeAlias

from aiohappyeyeballs import start_connection
from aiohappyeyeballs.types import AddrInfoType

from quarterdeck.domain.limits import (
    CLOSED_WHILE_SENDING_MILLISECONDS_MAX,
    NAME_SECONDS_MAX,
    UPSTREAM_ADDRESSES_MAX,
)
from quarterdeck.upstream.connection import Connection, Interrupted, Patience

SECOND_ADDRESS_SECONDS: Final = 0.25  # RFC 8305 section 5
#: What a name leads to, or why to nothing.
_Found: TypeAlias = Sequence[AddrInfoType] | str


class Unreachable(Exception):
    """There is no connection, so nothing was sent."""


class Crossed(Interrupted):
    """The other end closed the connection as the request was on its way, and never read it."""


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    is_secure: bool


class Pool:
    """Connections by origin; those that are idle, the last used first."""

    def __init__(self) -> None:
        # Building a context costs 13 ms: once, not per call.
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: dict[Connection, Origin] = {}
        self._names: dict[Origin, tuple[float, asyncio.Task[_Found]]] = {}

    async def __aenter__(self) -> "Pool":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        for connection in list(self._open):
            connection.close()
        for _, looked_up in self._names.values():
            looked_up.cancel()
        await asyncio.sleep(0)  # the transports say goodbye

    async def ask(
        self, origin: Origin, head: bytes, body: bytes, patience: Patience, *, connect: float
    ) -> Connection:
        """Send a request; the connection it went over, with the head of its answer.

        `connect` bounds the connecting, in seconds. Raises Unreachable if nothing was sent,
        Crossed if it was not read, Interrupted if nobody knows. Who gets it gives it back.
        """
        connection = self.take(origin)
        is_new = connection is None
        connection = connection or await self.connect(origin, connect)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await connection.ask(head, body, patience)
        except BaseException as error:  # also where the caller has left
            connection.close()
            took = (loop.time() - began) * 1000
            if isinstance(error, Interrupted) and _has_crossed(error, took, is_new=is_new):
                raise Crossed(str(error), said=False, dropped=True) from error
            raise
        return connection

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection, if there is one."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next call if its answer left it in order; else close it."""
        if connection.rest():
            self._idle.setdefault(self._open[connection], []).append(connection)

    async def connect(self, origin: Origin, seconds: float) -> Connection:
        """A new connection, or Unreachable."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                reached = await start_connection(
                    await self._addresses(origin), happy_eyeballs_delay=SECOND_ADDRESS_SECONDS
                )
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._forget),
                    sock=reached,
                    ssl=self._tls if origin.is_secure else None,
                    server_hostname=origin.host if origin.is_secure else None,
                )
        except TimeoutError as error:
            raise Unreachable(f"no connection within {seconds:g} s") from error
        except (
            OSError,
            RuntimeError,
        ) as error:  # uvloop knows some errors of sockets as the latter
            raise Unreachable(str(error) or type(error).__name__) from error
        self._open[connection] = origin
        return connection

    def _forget(self, connection: Connection) -> None:
        """A connection has ended."""
        origin = self._open.pop(connection, None)
        idle = None if origin is None else self._idle.get(origin)
        if origin is not None and idle is not None:
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[origin]

    async def _addresses(self, origin: Origin) -> Sequence[AddrInfoType]:
        """Where a name leads now. Who leaves while it is looked up takes nothing from the rest."""
        loop = asyncio.get_running_loop()
        until, looking = self._names.get(origin, (0.0, None))
        if looking is None or until < loop.time():
            if len(self._names) >= UPSTREAM_ADDRESSES_MAX:
                self._names.clear()
            looking = loop.create_task(self._look_up(origin))
            self._names[origin] = (loop.time() + NAME_SECONDS_MAX, looking)
        found = await asyncio.shield(looking)
        if isinstance(found, str):
            raise Unreachable(found)
        return found

    async def _look_up(self, origin: Origin) -> _Found:
        loop = asyncio.get_running_loop()
        try:
            return await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._names.pop(origin, None)  # the next one asks again
            return str(error) or type(error).__name__


def _has_crossed(error: Interrupted, took_ms: float, *, is_new: bool) -> bool:
    """Whether a connection was closed in the moment we sent on it.

    A server that closes an idle connection never reads what crosses its goodbye. It shows as an
    end without one byte of an answer, at once, on a connection that was used before; the same on a
    new connection, or after a while, may be one that died at work.
    """
    soon = took_ms <= CLOSED_WHILE_SENDING_MILLISECONDS_MAX
    return error.dropped and not error.said and soon and not is_new
