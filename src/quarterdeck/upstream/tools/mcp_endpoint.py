"""The URL of one MCP server: messages posted to it, and connections given back or closed.

One shared session, no redirects, no environment proxies, no cookies.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import aiohttp
from yarl import URL

from quarterdeck.domain.consents import Challenge, challenge_of
from quarterdeck.domain.limits import (
    SERVER_CLOSE_SECONDS_MAX,
    VENDOR_ADDRESSES_MAX,
    VENDOR_CONNECT_SECONDS_DEFAULT,
)

BROKEN: Final = (aiohttp.ClientError, ConnectionError, OSError)
NOT_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)
SESSION: Final = "mcp-session-id"
UNSAID: Final = {
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "quarterdeck",
}
#: The whole of an exchange has its own bound; connecting has this one.
_PATIENT: Final = aiohttp.ClientTimeout(total=None, connect=VENDOR_CONNECT_SECONDS_DEFAULT)


@lru_cache(maxsize=VENDOR_ADDRESSES_MAX)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def refusal(response: aiohttp.ClientResponse) -> Challenge | None:
    """What a refusal asks for; nothing if it is none, or asks for nothing that could be shown."""
    if response.status not in (401, 403):
        return None
    return challenge_of(response.status, response.headers.getall("www-authenticate", ()))


@dataclass(slots=True)
class Endpoint:
    """Where one server is."""

    session: aiohttp.ClientSession
    url: str
    _drained: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def post(
        self, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Post one message; the response is closed if whoever reads it stops in the middle."""
        async with self._open("POST", headers, data=body) as response:
            yield response

    @asynccontextmanager
    async def get(self, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """A stream of what the server says by itself, or goes on to say."""
        async with self._open("GET", headers) as response:
            yield response

    async def tell(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Post what has no answer; the status."""
        async with self.post(body, headers) as response:
            return response.status

    async def delete(self, headers: Mapping[str, str]) -> None:
        """End a session."""
        async with self._open("DELETE", headers):
            pass

    async def drain(self) -> None:
        """Wait for connections on their way back."""
        while self._drained:
            await asyncio.wait(self._drained)

    @asynccontextmanager
    async def _open(
        self, method: str, headers: Mapping[str, str], **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        response = await self.session.request(
            method,
            _url(self.url),
            headers=headers,
            allow_redirects=False,
            timeout=_PATIENT,
            **more,
        )
        try:
            yield response
        except BaseException:
            response.close()
            raise
        if response.content.at_eof():
            response.release()
            return
        # The answer is here and the end of its stream is not: it comes in a moment, and a
        # connection that was read to its end can be used again.
        task = asyncio.create_task(_drain(response))
        self._drained.add(task)
        task.add_done_callback(self._drained.discard)


async def _drain(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(SERVER_CLOSE_SECONDS_MAX):
            rest = await response.content.read(1024)
            if not rest and response.content.at_eof():
                response.release()
                return
    except (*BROKEN, TimeoutError):
        pass  # nothing that matters was lost
    finally:
        response.close()
