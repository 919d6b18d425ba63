"""OpenAI's responses: what an answer used, whole or streamed.

The last event of a stream holds the whole answer; until then it is put together from its items.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from quarterdeck.domain.dialects.answers import Tokens, at_least_zero, error_text, parsed
from quarterdeck.domain.dialects.request import UNREADABLE, is_null
from quarterdeck.domain.dialects.stream import (
    LazyEvents,
    StreamReader,
    at_least,
    check_text,
    utf8_length,
)
from quarterdeck.domain.money import Usage

_ENDS: Final = frozenset(
    ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
)


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Tokens = None
    cache_write_tokens: Tokens = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Tokens = None


class _ReportedUsage(msgspec.Struct, gc=False):
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None

    def buckets(self) -> Usage | None:
        """The same in disjoint buckets; None where nothing is reported."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        given = self.input_tokens_details or _InputDetails()
        made = self.output_tokens_details or _OutputDetails()
        input_, output = at_least_zero(self.input_tokens), at_least_zero(self.output_tokens)
        read = min(at_least_zero(given.cached_tokens), input_)
        written = min(at_least_zero(given.cache_write_tokens), input_ - read)
        reasoning = min(at_least_zero(made.reasoning_tokens), output)
        return Usage(
            input=input_ - read - written,
            cache_read=read,
            cache_write=written,
            output=output - reasoning,
            reasoning=reasoning,
        )


class _Reported(msgspec.Struct, gc=False):
    model: str | None = None
    usage: _ReportedUsage | None = None
    error: Raw = Raw(b"")


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    output_index: int = 0
    response: Raw = Raw(b"")
    item: Raw = Raw(b"")
    delta: Raw = Raw(b"")
    message: Raw = Raw(b"")
    error: Raw = Raw(b"")


_REPORTED: Final = msgspec.json.Decoder(_Reported)
_EVENT: Final = msgspec.json.Decoder(_Event)
_TEXT: Final = msgspec.json.Decoder(str)


def usage_of_answer(body: bytes) -> tuple[Usage, str] | None:
    """What a whole answer used and the model that gave it; None if it reports nothing readable."""
    try:
        reported = _REPORTED.decode(body)
    except UNREADABLE:
        return None
    usage = reported.usage.buckets() if reported.usage is not None else None
    return None if usage is None else (usage, reported.model or "")


class ResponsesStreamReader(LazyEvents):
    """Follows one streamed response."""

    __slots__ = ("_items", "_response", "_texts", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[int, Raw] = {}
        self._texts: dict[int, list[str]] = {}
        self._response = Raw(b"")
        self._usage: _ReportedUsage | None = None

    @property
    def usage(self) -> Usage | None:
        """What the vendor says was used, once it has said all of it; None until then."""
        self._catch_up()
        ended = self._finished and self._usage is not None
        return self._usage.buckets() if ended and self._usage is not None else None

    @property
    def usage_so_far(self) -> Usage | None:
        """What was reported up to now, with no less output than was seen; for estimates."""
        self._catch_up()
        return at_least(self._usage.buckets() if self._usage else None, self._bytes)

    def answer(self) -> bytes:
        """The answer so far in the form of one that was not streamed, as JSON."""
        self._catch_up()
        if self._finished and not is_null(self._response):
            return bytes(self._response)
        whole: dict[str, Any] = {"object": "response"}
        if not is_null(self._response):
            whole |= _object(self._response)
        places = sorted(self._items.keys() | self._texts.keys())
        whole["output"] = [self._item(place) for place in places]
        return msgspec.json.encode(whole)

    def _item(self, place: int) -> dict[str, Any]:
        """An item as far as it came."""
        raw = self._items.get(place)
        item = {"type": "message"} if raw is None else _object(raw)
        written = "".join(self._texts.get(place, ()))
        if not written:
            return item
        if item.get("type") == "message":
            return item | {"content": [{"type": "output_text", "text": written}]}
        field = "input" if item.get("type") == "custom_tool_call" else "arguments"
        return item | {field: written}

    def _take(self, data: bytes) -> None:
        try:
            check_text(data)
            event = _EVENT.decode(data)
            self._take_event(event, keep=self._may_keep(len(data)))
        except UNREADABLE:
            self._bytes += len(data)

    def _take_event(self, event: _Event, *, keep: bool) -> None:
        if event.type.endswith(".delta"):
            self._take_delta(event, keep=keep)
        elif event.type == "response.output_item.added":
            if keep:
                self._items[event.output_index] = event.item
        elif event.type == "response.output_item.done":
            if keep:
                self._items[event.output_index] = event.item
                self._texts.pop(event.output_index, None)
        elif not is_null(event.response):
            self._take_response(event, keep=keep)
        elif event.type == "error":
            told = event.error if not is_null(event.error) else event.message
            self._error = error_text(told) if not is_null(told) else "the stream reported an error"

    def _take_delta(self, event: _Event, *, keep: bool) -> None:
        text = _TEXT.decode(event.delta) if bytes(event.delta)[:1] == b'"' else ""
        self._bytes += utf8_length(text)
        # Summaries of reasoning and sounds are in the item when it is done.
        said = "output_text" in event.type or "arguments" in event.type or "input" in event.type
        if keep and said:
            self._texts.setdefault(event.output_index, []).append(text)

    def _take_response(self, event: _Event, *, keep: bool) -> None:
        """An event that tells of the whole: the first ones, and the last, which has it all."""
        reported = _REPORTED.decode(event.response)
        self._model = reported.model or self._model
        self._usage = reported.usage or self._usage
        self._finished = self._finished or event.type in _ENDS
        if keep:
            self._response = event.response
        if not is_null(reported.error):
            self._error = error_text(reported.error)


def _object(raw: Raw) -> dict[str, Any]:
    found = parsed(raw)
    return found if isinstance(found, dict) else {}


def open_stream_reader() -> StreamReader:
    """A reader for one streamed answer."""
    return ResponsesStreamReader()
