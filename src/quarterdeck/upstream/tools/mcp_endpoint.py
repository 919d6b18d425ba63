"""The URL of one MCP server: messages posted to it, and connections given back or closed.

No redirects, no environment proxies, no cookies: see `upstream/pool.py`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Final

from yarl import URL

from quarterdeck.domain.consents import Challenge, challenge_of
from quarterdeck.domain.limits import (
    SERVER_CLOSE_SECONDS_MAX,
    UPSTREAM_ADDRESSES_MAX,
    VENDOR_CONNECT_SECONDS_DEFAULT,
)
from quarterdeck.upstream.connection import PATIENT, Connection, Interrupted
from quarterdeck.upstream.pool import Pool, Unreachable
from quarterdeck.upstream.requests import head_of, origin_of

#: What asking can raise: nothing was sent, or nobody knows how far it came.
BROKEN: Final = (Unreachable, Interrupted)
SESSION: Final = "mcp-session-id"
UNSAID: Final = {
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "quarterdeck",
}


@lru_cache(maxsize=UPSTREAM_ADDRESSES_MAX)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def refusal(response: Connection) -> Challenge | None:
    """What a refusal asks for; nothing if it is none, or asks for nothing that could be shown."""
    if response.status not in (401, 403):
        return None
    asked = [value for name, value in response.headers if name == "www-authenticate"]
    return challenge_of(response.status, asked)


@dataclass(slots=True)
class Endpoint:
    """Where one server is."""

    pool: Pool
    url: str
    _drained: set[asyncio.Task[None]] = field(default_factory=set)

    def post(self, body: bytes, headers: Mapping[str, str]) -> "Asking":
        """Post one message; the response is closed if whoever reads it stops in the middle."""
        return Asking(self, "POST", headers, body)

    def get(self, headers: Mapping[str, str]) -> "Asking":
        """A stream of what the server says by itself, or goes on to say."""
        return Asking(self, "GET", headers, None)

    async def tell(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Post what has no answer; the status."""
        async with self.post(body, headers) as response:
            return response.status

    async def delete(self, headers: Mapping[str, str]) -> None:
        """End a session."""
        async with Asking(self, "DELETE", headers, None):
            pass

    async def drain(self) -> None:
        """Wait for connections on their way back."""
        while self._drained:
            await asyncio.wait(self._drained)

    def leave(self, response: Connection) -> None:
        """Give a connection back whose answer is here, at once or when the rest of it has come.

        The end of a stream comes a moment after the answer in it, and a connection that was read
        to its end can be used again.
        """
        if response.is_whole:
            self.pool.give_back(response)
            return
        task = asyncio.create_task(self._drain(response))
        self._drained.add(task)
        task.add_done_callback(self._drained.discard)

    async def _drain(self, response: Connection) -> None:
        try:
            async with asyncio.timeout(SERVER_CLOSE_SECONDS_MAX):
                await response.more()
        except (*BROKEN, TimeoutError):
            pass  # nothing that matters was lost
        finally:
            self.pool.give_back(response)


@dataclass(slots=True)
class Asking:
    """One request; within the block its answer is read."""

    endpoint: Endpoint
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    _response: Connection | None = None

    async def __aenter__(self) -> Connection:
        url = _url(self.endpoint.url)
        self._response = response = await self.endpoint.pool.ask(
            origin_of(url),
            head_of(self.method, url, self.headers, self.body),
            self.body or b"",
            PATIENT,  # the whole of an exchange has its own bound
            connect=VENDOR_CONNECT_SECONDS_DEFAULT,
        )
        return response

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._response is not None
        if kind is None:
            self.endpoint.leave(self._response)
        else:
            self._response.close()
