"""What all stream readers share: chunks are kept as they come and read when asked.

Feeding costs an append. Events are read in batches, or when somebody asks for a figure, so every
figure is right at any time. What is kept for the record is bounded; what is counted is not.
"""

from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from quarterdeck.domain.dialects.request import UNREADABLE
from quarterdeck.domain.dialects.sse import Splitter, data_of
from quarterdeck.domain.limits import ANSWER_BYTES_MAX
from quarterdeck.domain.money import Usage

BATCH_BYTES: Final = 64 * 1024
_JSON: Final = msgspec.json.Decoder(msgspec.Raw)


class StreamReader(Protocol):
    """Follows one streamed answer."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""

    def close(self) -> None:
        """No more will come: an event that lacks only its blank line counts."""

    @property
    def usage(self) -> Usage | None:
        """What the vendor says was used, once it has said all of it; None until then."""

    @property
    def usage_so_far(self) -> Usage | None:
        """What was reported up to now, with no less output than was seen; for estimates."""

    @property
    def model(self) -> str | None:
        """The model that answers."""

    @property
    def finished(self) -> bool:
        """Whether the stream said that it is complete."""

    @property
    def error(self) -> str | None:
        """The error the stream reported, in the vendor's words."""

    @property
    def output_bytes(self) -> int:
        """Bytes of generated text, tool calls and thinking so far."""

    def answer(self) -> bytes:
        """The answer so far in the form of one that was not streamed, as JSON."""


class Framing(Protocol):
    """Cuts a stream of bytes into the data of its events."""

    #: It can be cut no more: from there on nothing is an event.
    passing: bool

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event this chunk completes; in `passing`, the bytes that are lost."""

    def rest(self) -> bytes:
        """The data of a last event that lacks only its end; empty if there is none."""


class ServerSentEvents:
    """Events as most vendors send them."""

    __slots__ = ("_splitter", "passing")

    def __init__(self) -> None:
        self._splitter = Splitter()
        self.passing = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event this chunk completes."""
        events = self._splitter.feed(chunk)
        if self._splitter.passing:
            self.passing = True
            return events
        return [data for event in events if (data := data_of(event))]

    def rest(self) -> bytes:
        """An event that lacks only its blank line counts."""
        data = data_of(self._splitter.rest)
        # What broke off inside its data says nothing: its bytes are mostly envelope.
        return data if data and _is_whole(data) else b""


class LazyEvents:
    """Chunks in; the data of each event out, later, through `_take`. What every reader counts."""

    __slots__ = (
        "_bytes",
        "_chunks",
        "_error",
        "_finished",
        "_framing",
        "_kept",
        "_model",
        "_waiting",
    )

    def __init__(self, framing: Framing | None = None) -> None:
        self._framing: Framing = ServerSentEvents() if framing is None else framing
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._kept = 0
        self._bytes = 0
        self._error: str | None = None
        self._finished = False
        self._model: str | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        self._chunks.append(chunk)
        self._waiting += len(chunk)
        if self._waiting >= BATCH_BYTES:
            self._catch_up()

    def close(self) -> None:
        """No more will come: an event that lacks only its blank line counts."""
        self._catch_up()
        if not self._framing.passing and (data := self._framing.rest()):
            self._framing = ServerSentEvents()
            self._take(data)

    @property
    def model(self) -> str | None:
        """The model that answers."""
        self._catch_up()
        return self._model

    @property
    def finished(self) -> bool:
        """Whether the stream said that it is complete."""
        self._catch_up()
        return self._finished

    @property
    def error(self) -> str | None:
        """The error the stream reported, in the vendor's words."""
        self._catch_up()
        return self._error

    @property
    def output_bytes(self) -> int:
        """Bytes of generated text, tool calls and thinking so far."""
        self._catch_up()
        return self._bytes

    def _catch_up(self) -> None:
        if not self._chunks:
            return
        joined = b"".join(self._chunks)
        self._chunks.clear()
        self._waiting = 0
        events = self._framing.feed(joined)
        if self._framing.passing:
            self._bytes += sum(map(len, events))
            return
        for event in events:
            self._take(event)

    def _may_keep(self, count: int) -> bool:
        """Whether so many bytes more may be kept for the record."""
        self._kept += count
        return self._kept <= ANSWER_BYTES_MAX

    def _take(self, data: bytes) -> None:
        raise NotImplementedError


def _is_whole(data: bytes) -> bool:
    try:
        _JSON.decode(data)
    except UNREADABLE:
        return data == b"[DONE]"
    return True


def at_least(usage: Usage | None, output_bytes: int) -> Usage | None:
    """A report from before the end, with the output that was seen since: no token is shorter than
    a byte."""
    if usage is None:
        return None
    return replace(usage, output=max(usage.output, output_bytes - usage.reasoning))


def check_text(data: bytes) -> None:
    """Raise UnicodeDecodeError unless an event of which raw pieces are kept is all UTF-8."""
    if not data.isascii():
        data.decode()


def utf8_length(text: str) -> int:
    """The bytes of a text."""
    return len(text) if text.isascii() else len(text.encode())
