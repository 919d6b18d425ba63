"""Anthropic's messages, streamed: usage, the end, and the answer put together again.

A stream opens with the input's usage and a first guess at the output; its last word, cumulative,
comes with the reason to stop. Until then `usage` is None: the guess must not be charged as final.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from quarterdeck.domain.dialects.answers import error_text, parsed
from quarterdeck.domain.dialects.anthropic_answer import ReportedUsage
from quarterdeck.domain.dialects.request import UNREADABLE, is_null
from quarterdeck.domain.dialects.stream import (
    Framing,
    LazyEvents,
    StreamReader,
    at_least,
    check_text,
    utf8_length,
)
from quarterdeck.domain.money import Usage

#: What each kind of delta adds to, by the field that carries it.
_PIECES: Final = ("text", "thinking", "partial_json", "signature", "content")


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    content: str | None = None
    citation: Raw = Raw(b"")
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Start(msgspec.Struct, gc=False):
    model: str | None = None
    usage: ReportedUsage | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: Raw = Raw(b"")
    message: Raw = Raw(b"")
    usage: Raw = Raw(b"")
    error: Raw = Raw(b"")


class _StartedBlock(msgspec.Struct, gc=False):
    """What of a block comes whole, with its start."""

    text: str | None = None
    thinking: str | None = None
    data: str | None = None
    name: str | None = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_START: Final = msgspec.json.Decoder(_Start)
_USAGE: Final = msgspec.json.Decoder(ReportedUsage)
_BLOCK: Final = msgspec.json.Decoder(_StartedBlock)


class _BlockSoFar:
    """One content block in the making."""

    __slots__ = ("citations", "pieces", "start")

    def __init__(self, start: Raw) -> None:
        self.start = start
        self.pieces: dict[str, list[str]] = {}
        self.citations: list[Raw] = []

    def as_json(self) -> dict[str, Any]:
        """The block as an answer that was not streamed has it."""
        start = None if is_null(self.start) else parsed(self.start)
        block: dict[str, Any] = start if isinstance(start, dict) else {}
        pieces = {name: "".join(texts) for name, texts in self.pieces.items()}
        if (arguments := pieces.pop("partial_json", "")) != "":
            block["input"] = _input(arguments)
        for name, text in pieces.items():
            block[name] = (block.get(name) or "") + text
        if self.citations:
            block["citations"] = [*(block.get("citations") or ()), *self.citations]
        return block


class AnthropicStreamReader(LazyEvents):
    """Follows one streamed message."""

    __slots__ = (
        "_blocks",
        "_end",
        "_message",
        "_start",
        "_stop",
        "_usage_end",
    )

    def __init__(self, framing: Framing | None = None) -> None:
        super().__init__(framing)
        self._blocks: dict[int, _BlockSoFar] = {}
        self._message = Raw(b"")
        self._start = _Start()
        self._stop = _Delta()
        self._end: ReportedUsage | None = None
        self._usage_end = Raw(b"")

    @property
    def usage(self) -> Usage | None:
        """What the vendor says was used, once it has said all of it; None until then."""
        self._catch_up()
        if self._end is None:
            return None
        return (self._start.usage or ReportedUsage()).with_later(self._end).buckets()

    @property
    def usage_so_far(self) -> Usage | None:
        """What was reported up to now, with no less output than was seen; for estimates."""
        if (usage := self.usage) is not None:
            return usage
        start = self._start.usage
        return at_least(start.buckets() if start else None, self._bytes)

    def answer(self) -> bytes:
        """The answer so far in the form of one that was not streamed, as JSON."""
        self._catch_up()
        whole: dict[str, Any] = {"type": "message", "role": "assistant"}
        if not is_null(self._message):
            message = parsed(self._message)
            whole |= message if isinstance(message, dict) else {}
        whole["content"] = [self._blocks[index].as_json() for index in sorted(self._blocks)]
        whole["stop_reason"] = self._stop.stop_reason
        whole["stop_sequence"] = self._stop.stop_sequence
        if not is_null(self._usage_end):
            begun, ended = whole.get("usage"), parsed(self._usage_end)
            if isinstance(ended, dict):
                whole["usage"] = (begun if isinstance(begun, dict) else {}) | ended
        return msgspec.json.encode(whole)

    def _take(self, data: bytes) -> None:
        try:
            check_text(data)
            event = _EVENT.decode(data)
            self._take_event(event, keep=self._may_keep(len(data)))
        except UNREADABLE:
            self._bytes += len(data)

    def _take_event(self, event: _Event, *, keep: bool) -> None:
        match event.type:
            case "content_block_delta":
                self._take_delta(event, keep=keep)
            case "content_block_start":
                self._count_start(event.content_block)
                if keep:
                    self._blocks[event.index] = _BlockSoFar(event.content_block)
            case "message_start":
                self._start = _START.decode(event.message)
                self._model = self._start.model
                self._message = event.message
            case "message_delta":
                self._stop = event.delta or self._stop
                if not is_null(event.usage):
                    self._end = _USAGE.decode(event.usage)
                    self._usage_end = event.usage
            case "message_stop":
                self._finished = True
            case "error":
                self._error = error_text(event.error)
            case _:
                pass  # ping, content_block_stop, and kinds that may come later

    def _take_delta(self, event: _Event, *, keep: bool) -> None:
        delta = event.delta
        if delta is None:
            return
        block = self._blocks.get(event.index)
        if block is None and keep:
            block = self._blocks[event.index] = _BlockSoFar(Raw(b""))
        for name in _PIECES:
            if text := getattr(delta, name):
                if name != "signature":  # the vendor's seal, not something generated
                    self._bytes += utf8_length(text)
                if block is not None and keep:
                    block.pieces.setdefault(name, []).append(text)
        if block is not None and keep and not is_null(delta.citation):
            block.citations.append(delta.citation)

    def _count_start(self, raw: Raw) -> None:
        block = _BLOCK.decode(raw)
        for text in (block.text, block.thinking, block.data, block.name):
            self._bytes += utf8_length(text or "")


def open_stream_reader() -> StreamReader:
    """A reader for one streamed answer."""
    return AnthropicStreamReader()


def _input(arguments: str) -> Any:
    """A tool call's arguments; a string where the stream broke off inside them."""
    known = parsed(arguments.encode())
    return arguments if known is None else Raw(arguments.encode())
