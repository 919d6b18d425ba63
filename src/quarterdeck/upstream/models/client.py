"""The outgoing half of a model call: one shared session, bytes as they come, no redirects.

The address comes from the contract the action was cleared under; a client can never choose it.
Environment proxies are ignored; cookies are not kept; compression is left to the two ends.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import aiohttp

from quarterdeck.domain.actions import Cleared
from quarterdeck.domain.fleets import Vendor
from quarterdeck.domain.limits import EFFECT_SECONDS_MAX
from quarterdeck.upstream.credentials import Credentials

CONNECT_SECONDS_MAX: Final = 10
_PATHS: Final = {"openai": "/chat/completions", "anthropic": "/v1/messages"}


class NotAttempted(Exception):
    """Nothing of the request left this process: no connection, or the clearance had lapsed."""


class Broken(Exception):
    """The request left and no whole answer came back."""


@dataclass(slots=True)
class Answer:
    """A vendor's answer as it arrives."""

    status: int
    headers: Iterable[tuple[str, str]]
    _response: aiohttp.ClientResponse

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come; raises Broken if the vendor stops in the middle."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise Broken(
                f"the vendor's answer broke off: {error or type(error).__name__}"
            ) from error

    def close(self) -> None:
        """Close the connection: the vendor stops generating."""
        self._response.close()

    def release(self) -> None:
        """Give a finished connection back."""
        self._response.release()


@dataclass(frozen=True, slots=True)
class ModelClient:
    """Calls model vendors."""

    session: aiohttp.ClientSession
    credentials: Credentials
    is_current: Callable[[Cleared], bool]

    async def open(self, cleared: Cleared, headers: Iterable[tuple[str, str]]) -> Answer:
        """Send the request an action was cleared for; its answer from the first byte on."""
        vendor = cleared.contract
        assert isinstance(vendor, Vendor)
        key = await self.credentials.of(cleared)
        sent = dict(headers)
        if key is not None:
            sent |= (
                {"x-api-key": key}
                if vendor.dialect == "anthropic"
                else {"authorization": f"Bearer {key}"}
            )
        if not self.is_current(cleared):
            raise NotAttempted("the clearance lapsed or something was frozen before the call began")
        try:
            response = await self.session.post(
                vendor.base_url.rstrip("/") + _PATHS[vendor.dialect],
                data=cleared.action.arguments,
                headers=sent,
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotAttempted(f"cannot reach vendor `{vendor.name}`: {error}") from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise Broken(f"vendor `{vendor.name}` did not answer: {error}") from error
        return Answer(response.status, response.headers.items(), response)


def open_session() -> aiohttp.ClientSession:
    """The one session of a process. Building an SSL context costs 13 ms: once, not per call."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(
            total=EFFECT_SECONDS_MAX, sock_connect=CONNECT_SECONDS_MAX, sock_read=EFFECT_SECONDS_MAX
        ),
        skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
    )
