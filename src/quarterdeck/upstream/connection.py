"""One HTTP/1.1 connection to a vendor or a server: a request goes out, its answer comes in.

The parser is llhttp (httptools); here is what stands around it: order, limits, time, hang-ups.
INVARIANT: a connection is used again only after an answer that ended where it said it would, with
nothing after it (RFC 9112 section 9.3).
Deliberately absent: redirects, proxies, cookies, decompression, pipelining, upgrades.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import httptools

from quarterdeck.domain.limits import (
    KEEPALIVE_SECONDS,
    UPSTREAM_BUFFER_BYTES_MAX,
    UPSTREAM_HEAD_BYTES_MAX,
)

_BODILESS: Final = (204, 304)
_FOREVER: Final = float("inf")


class Interrupted(Exception):
    """The answer did not come to its end; `said` is whether one byte of it came."""

    def __init__(self, message: str, *, said: bool, dropped: bool) -> None:
        super().__init__(message)
        self.said = said
        #: The connection ended; else what came was no HTTP, or came too late.
        self.dropped = dropped


class Patience(NamedTuple):
    """How long is waited, in seconds: for the body's first byte, for the next one, and in all."""

    first_byte: float
    between_bytes: float
    total: float


#: For whoever bounds the whole of an exchange in another way.
PATIENT: Final = Patience(_FOREVER, _FOREVER, _FOREVER)


class Connection(asyncio.Protocol):
    """Asks one thing at a time. Whoever has taken it from the pool gives it back or closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[["Connection"], None]):
        self._loop = loop
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # As lenient as clients mostly are: what stands before servers is not always strict.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _FOREVER
        self._begin()
        self._asked = False
        self._has_body = True
        self._reusable = True

    def _begin(self) -> None:
        """Nothing of an answer is here yet."""
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._headed = False  # the headers are complete
        self._framed = False  # it says where it ends; else it ends with the connection
        self._whole = False
        self._said = False  # one byte of it came
        self._begun = False  # one byte of its body came
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        self._held = 0
        self._paused = False
        self._failure: Interrupted | None = None
        self._waiter: asyncio.Future[None] | None = None

    # --- for whoever has taken it ----------------------------------------------------------------

    async def ask(self, head: bytes, body: bytes, patience: Patience) -> None:
        """Send a request; returns with the head of its answer. Raises Interrupted."""
        assert not self._asked, "one thing at a time"
        assert self._transport is not None
        self._begin()
        self._asked = True
        self._has_body = not head.startswith(b"HEAD ")
        self._patience = patience
        self._until = self._loop.time() + patience.total
        self._expect(patience.first_byte)
        self._transport.writelines((head, body))
        while not self._headed:
            await self._something()

    def header(self, name: str) -> str:
        """What the answer says under a lower-case name; empty if nothing."""
        for found, value in self.headers:
            if found == name:
                return value
        return ""

    async def more(self) -> bytes:
        """What has come since; empty at the answer's end. Raises Interrupted."""
        while not self._chunks:
            if self._whole:
                return b""
            await self._something()
        chunks, self._chunks = self._chunks, []
        self._held = 0
        if self._paused:
            self._paused = False
            self._expect(self._patience.between_bytes)
            if self._transport is not None:
                self._transport.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer has come, and was given out."""
        return self._whole and not self._chunks

    @property
    def is_usable(self) -> bool:
        """Whether something else may be asked: neither end has said that it is over."""
        return self._reusable and self._transport is not None

    def rest(self) -> bool:
        """End the exchange; whether the connection can be used for another one."""
        if not self._whole or not self.is_usable:
            self.close()
            return False
        self._asked = False
        self._chunks.clear()
        self._until = _FOREVER
        self._expect(KEEPALIVE_SECONDS)
        return True

    def close(self) -> None:
        """Hang up: whoever answers can stop. Nothing happens to one that is closed."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def _something(self) -> None:
        """Wait until a part of the answer comes, or its end, or its failure."""
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- for the transport -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came; wake whoever waits for it."""
        if not self._asked or self._parser is None:  # nobody asked: a farewell, or no HTTP at all
            self.close()
            return
        self._said = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self._whole:
                self._fail(f"it is not HTTP/1.1: {error}", dropped=False)
            return
        if not self._headed:
            self._head_bytes += len(data)
            if self._head_bytes > UPSTREAM_HEAD_BYTES_MAX:
                self._fail("its headers have no end", dropped=False)
                return
        if self._held > UPSTREAM_BUFFER_BYTES_MAX and not self._paused and not self._whole:
            # Who reads slowly makes the other end wait, and is not its silence.
            self._paused = True
            self._expect(_FOREVER)
            assert self._transport is not None
            self._transport.pause_reading()
        elif not self._whole:
            waits = self._patience
            self._expect(waits.between_bytes if self._begun else waits.first_byte)
        if self._headed:
            self._wake()

    def eof_received(self) -> None:
        """The other end says no more: the end of an answer that named no other."""
        if self._asked and self._headed and not self._framed and self._failure is None:
            self._whole = True
            self._wake()
        self._reusable = False

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone, by our doing or the other end's."""
        self._transport = None
        self._parser = None  # it refers to us: so neither waits for the collector
        self._reusable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asked and not self._whole:
            self._fail(str(error or "") or "the connection was closed", dropped=True)
        self._ended(self)

    def _fail(self, because: str, *, dropped: bool) -> None:
        if self._failure is None:
            self._failure = Interrupted(because, said=self._said, dropped=dropped)
            self._wake()
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- for the parser --------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins: the one that was asked for, or one that nobody wants."""
        if self._whole:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what comes after the body is not read."""
        if not self._headed:
            self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Status and headers are here. Those of an interim answer say nothing of the real one."""
        if self._whole or self._parser is None:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._headed = True
        if not self._has_body:  # the parser does not know, and would take what comes next for one
            self._whole, self._reusable = True, False
        self._framed = self.status in _BODILESS
        for name, value in self.headers:
            if name == "content-length" or (name == "transfer-encoding" and _is_chunked(value)):
                self._framed = True

    def on_body(self, chunk: bytes) -> None:
        """Bytes of the body."""
        if not self._whole:
            self._begun = True
            self._chunks.append(chunk)
            self._held += len(chunk)

    def on_message_complete(self) -> None:
        """An answer has ended; after an interim one the real one comes."""
        if self.status < 200:
            self.headers.clear()
            return
        self._whole = True
        if self._parser is None or not self._parser.should_keep_alive():
            self._reusable = False

    # --- time ------------------------------------------------------------------------------------

    def _expect(self, seconds: float) -> None:
        """Give up after so many seconds. The timer is left where it is if it rings before that."""
        self._deadline = min(self._loop.time() + seconds, self._until)
        if self._deadline < self._timer_at:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, _FOREVER
        if self._loop.time() < self._deadline:
            if self._deadline < _FOREVER:
                self._set_timer()
        elif self._asked:
            self._fail("it was silent for too long", dropped=False)
        else:
            self.close()


def _is_chunked(value: str) -> bool:
    return value.rpartition(",")[2].strip().lower() == "chunked"
