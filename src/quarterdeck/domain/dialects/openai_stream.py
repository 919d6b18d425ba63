"""OpenAI's chat completions, streamed: usage, the end, and the answer put together again.

Compatible servers differ: usage may come with the last choice or after it, tool calls may lack an
index or share one, reasoning has two names. A chunk that cannot be read is counted, not trusted.
"""

import re
from typing import Any, Final

import msgspec

from quarterdeck.domain.dialects.answers import error_text
from quarterdeck.domain.dialects.openai_answer import ReportedUsage
from quarterdeck.domain.dialects.request import UNREADABLE, is_null
from quarterdeck.domain.dialects.sse import data_of
from quarterdeck.domain.dialects.stream import LazyEvents, StreamReader, at_least, utf8_length
from quarterdeck.domain.money import Usage

_DONE: Final = b"[DONE]"
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class _CallDelta(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Audio(msgspec.Struct, gc=False):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_CallDelta] | None = None
    function_call: _Function | None = None
    audio: _Audio | None = None

    def holds_more(self) -> bool:
        """Whether there is anything but content: in most chunks there is not."""
        return bool(
            self.tool_calls
            or self.reasoning
            or self.reasoning_content
            or self.refusal
            or self.function_call
            or self.audio
        )


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    id: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: ReportedUsage | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


class _Lean(msgspec.Struct, gc=False):
    """What is still read of a chunk whose choices are beyond us."""

    model: str | None = None
    usage: ReportedUsage | None = None


class _UsageOnly(msgspec.Struct, gc=False):
    choices: list[msgspec.Raw]
    usage: dict[str, msgspec.Raw] | None = None


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_LEAN: Final = msgspec.json.Decoder(_Lean)
_USAGE_ONLY: Final = msgspec.json.Decoder(_UsageOnly)


class _Call:
    """A tool call in the making."""

    __slots__ = ("arguments", "id", "name", "type")

    def __init__(self) -> None:
        self.id = ""
        self.type = "function"
        self.name: list[str] = []
        self.arguments: list[str] = []

    def add(self, delta: _Function | None) -> None:
        """Take what a delta says of the name and the arguments."""
        if delta is not None:
            self.name.append(delta.name or "")
            self.arguments.append(delta.arguments or delta.input or "")

    def as_json(self) -> dict[str, Any]:
        """The call as a message carries it."""
        field = "input" if self.type == "custom" else "arguments"
        called = {"name": "".join(self.name), field: "".join(self.arguments)}
        return {"id": self.id, "type": self.type, self.type: called}


class _ChoiceSoFar:
    """One choice in the making."""

    __slots__ = ("audio", "by_index", "calls", "finish_reason", "legacy", "texts")

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.audio: dict[str, list[str]] = {}
        self.calls: list[_Call] = []
        self.by_index: dict[int, _Call] = {}
        self.legacy: _Call | None = None
        self.finish_reason: str | None = None

    def call(self, delta: _CallDelta) -> _Call:
        """The call a delta belongs to: by index, unless its id shows that the server reuses it."""
        index = delta.index if delta.index is not None else len(self.calls) - (not delta.id)
        known = self.by_index.get(index)
        if known is None or (delta.id and known.id and delta.id != known.id):
            known = self.by_index[index] = _Call()
            self.calls.append(known)
        known.id = known.id or delta.id or ""
        if delta.custom is not None or delta.type == "custom":
            known.type = "custom"
        return known

    def as_json(self, index: int) -> dict[str, Any]:
        """The choice as an answer that was not streamed has it."""
        texts = {name: "".join(pieces) for name, pieces in self.texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": texts.pop("content", None)}
        message["refusal"] = texts.pop("refusal", None)
        message |= texts
        if self.calls:
            message["tool_calls"] = [call.as_json() for call in self.calls]
        if self.legacy is not None:
            message["function_call"] = self.legacy.as_json()["function"]
        if self.audio:
            message["audio"] = {name: "".join(pieces) for name, pieces in self.audio.items()}
        return {"index": index, "message": message, "finish_reason": self.finish_reason}


class OpenAIStreamReader(LazyEvents):
    """Follows one streamed chat completion."""

    __slots__ = ("_choices", "_first", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._choices: dict[int, _ChoiceSoFar] = {}
        self._first: _Chunk | None = None
        self._usage: ReportedUsage | None = None

    @property
    def usage(self) -> Usage | None:
        """What the vendor says was used, once it has said all of it; None until then."""
        self._catch_up()
        # Some servers report a running count with every chunk: it is no last word before the end.
        ended = self._finished or all(c.finish_reason for c in self._choices.values())
        return self._usage.buckets() if self._usage is not None and ended else None

    @property
    def usage_so_far(self) -> Usage | None:
        """What was reported up to now, with no less output than was seen; for estimates."""
        self._catch_up()
        return at_least(self._usage.buckets() if self._usage else None, self._bytes)

    def answer(self) -> bytes:
        """The answer so far in the form of one that was not streamed, as JSON."""
        self._catch_up()
        choices = [self._choices[index].as_json(index) for index in sorted(self._choices)]
        whole: dict[str, Any] = {
            "id": self._first.id if self._first else None,
            "object": "chat.completion",
            "created": self._first.created if self._first else None,
            "model": self._model,
            "choices": choices,
        }
        if self._usage is not None:
            whole["usage"] = self._usage
        return msgspec.json.encode(whole)

    def _take(self, data: bytes) -> None:
        if data == _DONE:
            self._finished = True
            return
        try:
            chunk = _CHUNK.decode(data)
        except UNREADABLE:
            self._take_unreadable(data)
            return
        self._first = self._first or chunk
        self._model = self._model or chunk.model
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not is_null(chunk.error):
            self._error = error_text(chunk.error)
        if chunk.choices:
            keep = self._may_keep(len(data))
            for choice in chunk.choices:
                self._take_choice(choice, keep=keep)

    def _take_choice(self, choice: _Choice, *, keep: bool) -> None:
        index = choice.index or 0
        so_far = self._choices.get(index)
        if so_far is None:
            so_far = self._choices[index] = _ChoiceSoFar()
        if choice.finish_reason:
            so_far.finish_reason = choice.finish_reason
        delta = choice.delta
        if delta is None:
            return
        if delta.content is not None:
            self._add(so_far.texts, "content", delta.content, keep=keep)
        if delta.holds_more():
            self._take_rest(so_far, delta, keep=keep)

    def _take_rest(self, so_far: _ChoiceSoFar, delta: _Delta, *, keep: bool) -> None:
        for name in ("refusal", "reasoning", "reasoning_content"):
            if text := getattr(delta, name):
                self._add(so_far.texts, name, text, keep=keep)
        if delta.audio is not None:
            for name in ("id", "data", "transcript"):
                if text := getattr(delta.audio, name):
                    self._add(so_far.audio, name, text, keep=keep)
        for called in delta.tool_calls or ():
            function = called.function or called.custom
            self._count_call(function)
            if keep:
                so_far.call(called).add(function)
        if delta.function_call is not None:
            self._count_call(delta.function_call)
            so_far.legacy = so_far.legacy or _Call()
            if keep:
                so_far.legacy.add(delta.function_call)

    def _add(self, texts: dict[str, list[str]], name: str, text: str, *, keep: bool) -> None:
        self._bytes += utf8_length(text)
        if keep:
            texts.setdefault(name, []).append(text)

    def _count_call(self, function: _Function | None) -> None:
        if function is not None:
            for text in (function.name, function.arguments, function.input):
                self._bytes += utf8_length(text or "")

    def _take_unreadable(self, data: bytes) -> None:
        self._bytes += len(data)
        try:
            chunk = _LEAN.decode(data)
        except UNREADABLE:
            return
        self._model = self._model or chunk.model
        self._usage = chunk.usage or self._usage


def open_stream_reader() -> StreamReader:
    """A reader for one streamed answer."""
    return OpenAIStreamReader()


def is_usage_only(event: bytes) -> bool:
    """Whether an event only reports usage: the one to withhold from a client who did not ask."""
    if _NO_CHOICES.search(event) is None:
        return False
    try:
        chunk = _USAGE_ONLY.decode(data_of(event))
    except UNREADABLE:
        return False
    return not chunk.choices and chunk.usage is not None
