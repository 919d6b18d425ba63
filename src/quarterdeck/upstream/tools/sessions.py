"""The HTTP session of a process to servers: pooled connections that know whether they were used.

Model vendors are called over connections of our own (`upstream/models/connection.py`); everything
else outside is one aiohttp session.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp

from quarterdeck.domain.limits import (
    CLOSED_WHILE_SENDING_MILLISECONDS_MAX,
    EFFECT_SECONDS_MAX,
    KEEPALIVE_SECONDS,
    VENDOR_CONNECT_SECONDS_DEFAULT,
)


class Connections(aiohttp.TCPConnector):
    """Pooled connections; knows for which tasks one was made, and when."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEPALIVE_SECONDS)
        self._monotonic = monotonic
        self._made: WeakKeyDictionary[asyncio.Task[Any], float] = WeakKeyDictionary()

    async def _create_connection(self, *args: Any, **more: Any) -> Any:
        task = asyncio.current_task()
        if task is not None:
            self._made[task] = self._monotonic()
        return await super()._create_connection(*args, **more)

    def is_pooled(self, since: float) -> bool:
        """Whether what this task has sent since then went over a connection used before."""
        task = asyncio.current_task()
        return task is not None and self._made.get(task, since - 1) < since


def open_session(monotonic: Callable[[], float]) -> aiohttp.ClientSession:
    """The one session of a process. Building an SSL context costs 13 ms: once, not per call."""
    return aiohttp.ClientSession(
        connector=Connections(monotonic),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(
            total=EFFECT_SECONDS_MAX, sock_connect=VENDOR_CONNECT_SECONDS_DEFAULT
        ),
    )


def closed_as_used(
    session: aiohttp.ClientSession, error: BaseException, *, began: float, now: float
) -> bool:
    """Whether a pooled connection was closed by the other side in the moment we sent on it.

    A server that closes an idle connection never reads what crosses its goodbye. It shows as an
    end without one byte of an answer, at once, on a connection that was used before; the same
    on a new connection, or after a while, may be a server that died at work.
    """
    dropped = isinstance(error, aiohttp.ClientOSError) or (
        # One that had begun its status line carries what it had said of it.
        isinstance(error, aiohttp.ServerDisconnectedError) and isinstance(error.message, str)
    )
    if not dropped or (now - began) * 1000 > CLOSED_WHILE_SENDING_MILLISECONDS_MAX:
        return False
    connector = session.connector
    assert isinstance(connector, Connections)
    return connector.is_pooled(began)
