"""The connections of one process to its vendors: one attempt over them, and what came of it.

No redirects, no environment proxies, no cookies, bytes as they come. Nothing here decides whether
a call is made again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import msgspec
from yarl import URL

from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.domain.attempts import Attempt, AttemptEnd
from quarterdeck.domain.fleets import Timeouts, Vendor
from quarterdeck.domain.limits import (
    UPSTREAM_ADDRESSES_MAX,
    VENDOR_ERROR_BYTES_MAX,
    VENDOR_ERROR_SECONDS_MAX,
)
from quarterdeck.upstream.connection import Connection, Interrupted, Patience
from quarterdeck.upstream.pool import Crossed, Pool, Unreachable
from quarterdeck.upstream.requests import Unwritable, head_of, origin_of


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


@lru_cache(maxsize=UPSTREAM_ADDRESSES_MAX)
def url_of(base_url: str, path: str) -> URL:
    """The address of a call. Parsing one costs more than looking it up."""
    return URL(base_url.rstrip("/") + path, encoded=True)


@lru_cache(maxsize=256)
def _patience(timeouts: Timeouts, total: int) -> Patience:
    return Patience(timeouts.first_byte, timeouts.between_bytes, total)


@dataclass(slots=True)
class Answer:
    """A vendor's answer as it arrives, and what was tried before it."""

    status: int
    #: By lower-case name.
    headers: Iterable[tuple[str, str]]
    vendor: str
    model: str
    _connection: Connection | None
    _pool: Pool
    _first: bytes
    _monotonic: Callable[[], float]
    _started: float
    #: Told once, when the answer has ended: whether it broke.
    _ended: "OnEnd | None" = None
    earlier: tuple[Attempt, ...] = ()
    began_ms: int = 0
    _took_ms: int = 0

    async def more(self) -> bytes:
        """The bytes that have come since; empty at the end. Raises Broken if it never comes."""
        first, self._first = self._first, b""
        if first or self._connection is None:
            return first
        try:
            return await self._connection.more()
        except Interrupted as error:
            self._end(broken=True)
            raise Broken(f"the vendor's answer broke off: {error}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it as it comes, for whoever does not need the last moment."""
        while chunk := await self.more():
            yield chunk

    @property
    def is_whole(self) -> bool:
        """Whether nothing comes after what was given out."""
        connection = self._connection
        return not self._first and (connection is None or connection.is_whole)

    async def read_error(self) -> bytes | None:
        """The body of an error that need not be passed on; None if it is too long to look at.

        What was read of one that is too long is still there to be passed on.
        """
        assert self._connection is not None
        read = bytearray(self._first)
        try:
            async with asyncio.timeout(VENDOR_ERROR_SECONDS_MAX):
                while chunk := await self._connection.more():
                    read += chunk
                    if len(read) > VENDOR_ERROR_BYTES_MAX:
                        self._first = bytes(read)
                        return None
        except (Interrupted, TimeoutError):
            pass  # its status has said what matters
        self._first = bytes(read)
        return self._first

    def close(self) -> None:
        """Close the connection: the vendor stops generating."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._end(broken=False)

    def release(self) -> None:
        """Give a finished connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)
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
UNSAID: Final = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "quarterdeck",
}


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt as it goes over the wire."""

    vendor: Vendor
    model: str
    url: URL
    #: By lower-case name.
    headers: Mapping[str, str]
    body: bytes
    #: How long all attempts of the call may still take.
    seconds_left: int


@dataclass(frozen=True, slots=True)
class Wireline:
    """Sends requests and waits for the first byte of what comes back."""

    pool: Pool
    monotonic: Callable[[], float]

    async def ask(self, cleared: Cleared, request: Request) -> Answer:
        """One attempt of a cleared call: its answer from the first byte on, or Failed."""
        assert cleared.action.kind == "model"
        started, timeouts = self.monotonic(), request.vendor.timeouts
        total = min(timeouts.total, request.seconds_left)
        connection: Connection | None = None
        try:
            connection = await self.pool.ask(
                origin_of(request.url),
                head_of("POST", request.url, request.headers, request.body),
                request.body,
                _patience(timeouts, total),
                connect=min(timeouts.connect, total),
            )
            first = await connection.more()
        except BaseException as error:
            if connection is not None:  # also where the caller has left: the vendor stops then
                connection.close()
            if not isinstance(error, Unreachable | Interrupted):
                raise
            raise _failed(request.vendor, error) from error
        return Answer(
            connection.status,
            connection.headers,
            request.vendor.name,
            request.model,
            connection,
            self.pool,
            first,
            self.monotonic,
            started,
        )


def _failed(vendor: Vendor, error: Unreachable | Interrupted) -> Failed:
    """What an error says about how far the attempt had come."""
    if isinstance(error, Unwritable):
        return Failed("not_tried", str(error))
    if isinstance(error, Unreachable):
        return Failed("unreachable", f"cannot reach vendor `{vendor.name}`: {error}")
    if isinstance(error, Crossed):
        return Failed("closed", f"vendor `{vendor.name}` closed the connection as it was used")
    return Failed("unanswered", f"vendor `{vendor.name}` did not answer: {error}")


def milliseconds(seconds: float) -> int:
    """Seconds as whole milliseconds."""
    return int(seconds * 1000)
