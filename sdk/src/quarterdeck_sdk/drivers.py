"""The two drivers: the same steps carried out blocking, or awaiting in asyncio.

Deliberately the only module that does I/O. What a driver may decide: nothing.
"""

import asyncio
import atexit
import contextlib
import json
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, assert_never

import httpx2

from quarterdeck_sdk.steps import (
    Act,
    Ask,
    Heard,
    Lost,
    Pause,
    Raised,
    Reply,
    Returned,
    Step,
    Steps,
    T,
)

CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30
CONNECTIONS_MAX: Final = 100
_TIMEOUT: Final = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
_LIMITS: Final = httpx2.Limits(max_connections=CONNECTIONS_MAX)
# Nothing of these was sent: the server cannot have acted on it.
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def blocking(steps: Steps[T], act: Callable[[], Any] | None = None) -> T:
    """Carry out steps, blocking this thread."""
    with contextlib.closing(steps):
        heard: Heard = None
        while True:
            try:
                step = steps.send(heard)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # a generator's value is Any here
            heard = _done(step, act)


async def awaiting(
    steps: Steps[T],
    act: Callable[[], Awaitable[Any]] | None = None,
    client: httpx2.AsyncClient | None = None,
) -> T:
    """Carry out steps, awaiting; `client` is one that is open in this loop."""
    with contextlib.closing(steps):
        async with contextlib.AsyncExitStack() as opened:
            used = client if client else await opened.enter_async_context(open_client())
            heard: Heard = None
            while True:
                try:
                    step = steps.send(heard)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]  # as above
                heard = await _awaited(step, act, used)


def open_client() -> httpx2.AsyncClient:
    """A client for the running loop; whoever opens it closes it."""
    return httpx2.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, verify=_tls())


def _done(step: Step, act: Callable[[], Any] | None) -> Heard:
    match step:
        case Ask():
            try:
                return _reply(_client(os.getpid()).send(_request(step)))
            except httpx2.RequestError as error:
                return _lost(error)
        case Pause():
            time.sleep(step.seconds)
            return None
        case Act():
            assert act is not None, "only actions act"
            try:
                return Returned(act())
            except Exception as error:  # noqa: BLE001  whatever it is, it is told and raised again
                return Raised(error)
        case _:
            assert_never(step)


async def _awaited(
    step: Step, act: Callable[[], Awaitable[Any]] | None, client: httpx2.AsyncClient
) -> Heard:
    match step:
        case Ask():
            try:
                return _reply(await client.send(_request(step)))
            except httpx2.RequestError as error:
                return _lost(error)
        case Pause():
            await asyncio.sleep(step.seconds)
            return None
        case Act():
            assert act is not None, "only actions act"
            try:
                return Returned(await act())
            except Exception as error:  # noqa: BLE001  as above
                return Raised(error)
        case _:
            assert_never(step)


@lru_cache(maxsize=1)
def _client(process: int) -> httpx2.Client:
    """The one client of this process: a child after a fork must not share its parent's sockets."""
    client = httpx2.Client(timeout=_TIMEOUT, limits=_LIMITS, verify=_tls())
    atexit.register(client.close)
    return client


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Loading certificates costs 0.1 s, so it is done once."""
    return httpx2.create_ssl_context()


def _request(ask: Ask) -> httpx2.Request:
    headers = {
        "authorization": f"Bearer {ask.credential}",
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": "quarterdeck-sdk",
    }
    return httpx2.Request(
        "POST",
        ask.url,
        headers=headers,
        content=ask.body,
        extensions={"timeout": _TIMEOUT.as_dict()},
    )


def _reply(response: httpx2.Response) -> Reply:
    try:
        body = json.loads(response.content) if response.content else {}
    except ValueError:
        body = {}
    return Reply(status=response.status_code, body=body if isinstance(body, dict) else {})


def _lost(error: httpx2.RequestError) -> Lost:
    because = str(error) or type(error).__name__
    return Lost(because=because, sent=not isinstance(error, _NOT_SENT))
