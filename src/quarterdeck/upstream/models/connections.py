"""The connections of one process to its vendors: one attempt over them, and what came of it.

One shared session, no redirects, no environment proxies, no cookies, bytes as they come. Nothing
here decides whether a call is made again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

import aiohttp
import msgspec
from yarl import URL

from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.domain.attempts import Attempt, AttemptEnd
from quarterdeck.domain.fleets import Timeouts, Vendor
from quarterdeck.domain.limits import (
    CLOSED_WHILE_SENDING_MILLISECONDS_MAX,
    EFFECT_SECONDS_MAX,
    KEEPALIVE_SECONDS,
    VENDOR_ADDRESSES_MAX,
    VENDOR_CONNECT_SECONDS_DEFAULT,
    VENDOR_ERROR_BYTES_MAX,
    VENDOR_ERROR_SECONDS_MAX,
)

_BROKEN: Final = (aiohttp.ClientError, TimeoutError, ConnectionError)
_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class OnEnd(Protocol):
    """What wants to know that an answer has ended."""

    def __call__(self, *, broken: bool) -> None:
        """It has; `broken` if its vendor stopped in the middle."""


class Broken(Exception):
    """The answer broke off after its first byte."""


class Failed(Exception):
    """An attempt came to nothing: how it ended, and why in words."""

    def __init__(self, end: AttemptEnd, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.end = end
        self.retry_after = retry_after


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


@lru_cache(maxsize=VENDOR_ADDRESSES_MAX)
def url_of(base_url: str, path: str) -> URL:
    """The address of a call. Parsing one costs more than looking it up."""
    return URL(base_url.rstrip("/") + path, encoded=True)


@lru_cache(maxsize=256)
def _timeout(total: int, connect: int, first_byte: int) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, connect=connect, sock_read=first_byte)


@dataclass(slots=True)
class Answer:
    """A vendor's answer as it arrives, and what was tried before it."""

    status: int
    headers: Iterable[tuple[str, str]]
    vendor: str
    model: str
    _response: aiohttp.ClientResponse
    _first: bytes
    _monotonic: Callable[[], float]
    _started: float
    #: Told once, when the answer has ended: whether it broke.
    _ended: "OnEnd | None" = None
    earlier: tuple[Attempt, ...] = ()
    began_ms: int = 0
    _took_ms: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come; raises Broken if the vendor stops in the middle."""
        try:
            if self._first:
                yield self._first
            async for chunk in self._response.content.iter_any():
                yield chunk
        except _BROKEN as error:
            self._end(broken=True)
            raise Broken(f"the vendor's answer broke off: {_words(error)}") from error

    async def read_error(self) -> bytes | None:
        """The body of an error that need not be passed on; None if it is too long to look at.

        What was read of one that is too long is still there to be passed on.
        """
        read = bytearray(self._first)
        try:
            async with asyncio.timeout(VENDOR_ERROR_SECONDS_MAX):
                async for chunk in self._response.content.iter_any():
                    read += chunk
                    if len(read) > VENDOR_ERROR_BYTES_MAX:
                        self._first = bytes(read)
                        return None
        except _BROKEN:
            pass  # its status has said what matters
        self._first = bytes(read)
        return self._first

    def close(self) -> None:
        """Close the connection: the vendor stops generating."""
        self._response.close()
        self._end(broken=False)

    def release(self) -> None:
        """Give a finished connection back."""
        self._response.release()
        self._end(broken=False)

    def on_end(self, ended: "OnEnd") -> None:
        """Be told once when this answer has ended."""
        self._ended = ended

    def _end(self, *, broken: bool) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            self._took_ms = milliseconds(self._monotonic() - self._started)
            ended(broken=broken)

    def accounted(self, receipt: Receipt) -> Receipt:
        """The receipt of this answer, with what was tried before it if anything was."""
        if not self.earlier:
            return receipt
        broke = receipt.status == "failed" and self.status < 400
        last = Attempt(
            vendor=self.vendor,
            model=self.model,
            end="broken" if broke else "answered",
            status=self.status,
            began_ms=self.began_ms,
            took_ms=self._took_ms,
            usage=receipt.usage,
            estimated=receipt.usage_source == "estimated" and self.status < 400,
            error=str(receipt.detail.get("error", "")),
        )
        return msgspec.structs.replace(receipt, attempts=(*self.earlier, last))


#: What is sent where a caller says nothing. Said here, because the library would say it otherwise.
UNSAID: Final = (
    ("accept", "*/*"),
    ("accept-encoding", "identity"),
    ("content-type", "application/json"),
    ("user-agent", "quarterdeck"),
)


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt as it goes over the wire."""

    vendor: Vendor
    model: str
    url: URL
    headers: Mapping[str, str]
    body: bytes
    #: How long all attempts of the call may still take.
    seconds_left: int


@dataclass(frozen=True, slots=True)
class Wireline:
    """Sends requests and waits for the first byte of what comes back."""

    session: aiohttp.ClientSession
    monotonic: Callable[[], float]

    async def ask(self, cleared: Cleared, request: Request) -> Answer:
        """One attempt of a cleared call: its answer from the first byte on, or Failed."""
        assert cleared.action.kind == "model"
        started, timeouts = self.monotonic(), request.vendor.timeouts
        total = min(timeouts.total, request.seconds_left)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self.session.post(
                request.url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=_timeout(total, timeouts.connect, timeouts.first_byte),
            )
            first = await response.content.readany()
        except BaseException as error:
            if response is not None:  # also where the caller has left: the vendor stops then
                response.close()
            if not isinstance(error, _BROKEN):
                raise
            raise self._failed(request.vendor, error, response, started) from error
        _allow_between_bytes(response, timeouts)
        return Answer(
            response.status,
            response.headers.items(),
            request.vendor.name,
            request.model,
            response,
            first,
            self.monotonic,
            started,
        )

    def _failed(
        self,
        vendor: Vendor,
        error: BaseException,
        response: aiohttp.ClientResponse | None,
        started: float,
    ) -> Failed:
        """What an error says about how far the attempt had come."""
        if isinstance(error, _NOT_SENT):
            return Failed("unreachable", f"cannot reach vendor `{vendor.name}`: {_words(error)}")
        took = milliseconds(self.monotonic() - started)
        if response is None and self._was_closed(error, started, took):
            return Failed("closed", f"vendor `{vendor.name}` closed the connection as it was used")
        return Failed("unanswered", f"vendor `{vendor.name}` did not answer: {_words(error)}")

    def _was_closed(self, error: BaseException, started: float, took_ms: int) -> bool:
        """Whether a pooled connection was closed by the vendor in the moment we sent on it.

        A server that closes an idle connection never reads what crosses its goodbye. It shows as an
        end without one byte of an answer, at once, on a connection that was used before; the same
        on a new connection, or after a while, may be a vendor that died at work.
        """
        dropped = isinstance(error, aiohttp.ClientOSError) or (
            # One that had begun its status line carries what it had said of it.
            isinstance(error, aiohttp.ServerDisconnectedError) and isinstance(error.message, str)
        )
        if not dropped or took_ms > CLOSED_WHILE_SENDING_MILLISECONDS_MAX:
            return False
        connector = self.session.connector
        assert isinstance(connector, Connections)
        return connector.is_pooled(started)


def _allow_between_bytes(response: aiohttp.ClientResponse, timeouts: Timeouts) -> None:
    """The first byte is here: from now on another silence counts."""
    connection = response.connection
    if connection is not None and connection.protocol is not None:
        connection.protocol.read_timeout = timeouts.between_bytes
        connection.protocol.start_timeout()


def milliseconds(seconds: float) -> int:
    """Seconds as whole milliseconds."""
    return int(seconds * 1000)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
