"""Bedrock's Converse: what an answer says and used, whole or streamed; errors in its words, and the
runner's own requests. Streams of invoke carry Anthropic's events, wrapped."""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, assert_never

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain.dialects.answers import Tokens, at_least_zero, merged, named, refuse_answer
from quarterdeck.domain.dialects.anthropic_stream import AnthropicStreamReader
from quarterdeck.domain.dialects.event_stream import EventStream
from quarterdeck.domain.dialects.request import UNREADABLE, is_null
from quarterdeck.domain.dialects.stream import LazyEvents, StreamReader, utf8_length
from quarterdeck.domain.dialects.turns import (
    AssistantTurn,
    ToolCall,
    ToolDefinition,
    ToolTurn,
    Turn,
    UserTurn,
)
from quarterdeck.domain.money import Usage

_KINDS: Final[Mapping[int, str]] = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    405: "UnknownOperationException",
    409: "ConflictException",
    413: "ValidationException",
    429: "ThrottlingException",
    500: "InternalServerException",
    504: "ModelTimeoutException",
}


class _ReportedUsage(msgspec.Struct, rename="camel", gc=False):
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    cache_write_input_tokens: Tokens = None

    def buckets(self) -> Usage | None:
        """The same in disjoint buckets, as they are reported; None where nothing is."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return Usage(
            input=at_least_zero(self.input_tokens),
            cache_read=at_least_zero(self.cache_read_input_tokens),
            cache_write=at_least_zero(self.cache_write_input_tokens),
            output=at_least_zero(self.output_tokens),
        )


class _Reported(msgspec.Struct, gc=False):
    usage: _ReportedUsage | None = None


class _ToolUse(msgspec.Struct, rename="camel", gc=False):
    tool_use_id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Block(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    tool_use: _ToolUse | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Block] | None = None


class _Output(msgspec.Struct, gc=False):
    message: _Message


class _Answer(msgspec.Struct, gc=False):
    output: _Output


class _RawOutput(msgspec.Struct, gc=False):
    message: Raw


class _RawAnswer(msgspec.Struct, gc=False):
    output: _RawOutput


class _Event(msgspec.Struct, rename="camel", gc=False):
    """One message of a stream, by its type."""

    message_start: Raw = Raw(b"")
    content_block_start: Raw = Raw(b"")
    content_block_delta: Raw = Raw(b"")
    message_stop: Raw = Raw(b"")
    metadata: Raw = Raw(b"")


class _Piece(msgspec.Struct, rename="camel", gc=False):
    content_block_index: int = 0
    start: Raw = Raw(b"")
    delta: Raw = Raw(b"")


class _Chunk(msgspec.Struct, gc=False):
    chunk: dict[str, Raw] | None = None


_REPORTED: Final = msgspec.json.Decoder(_Reported)
_ANSWER: Final = msgspec.json.Decoder(_Answer)
_RAW_ANSWER: Final = msgspec.json.Decoder(_RawAnswer)
_EVENT: Final = msgspec.json.Decoder(_Event)
_PIECE: Final = msgspec.json.Decoder(_Piece)
_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_BYTES: Final = msgspec.json.Decoder(str)


def usage_of_answer(body: bytes) -> tuple[Usage, str] | None:
    """What a whole answer used; it does not name its model. None if it reports nothing readable."""
    try:
        reported = _REPORTED.decode(body)
    except UNREADABLE:
        return None
    usage = reported.usage.buckets() if reported.usage is not None else None
    return None if usage is None else (usage, "")


def error_body(*, status: int, code: str, message: str, action: str | None) -> bytes:
    """An error as this vendor writes it, so that its SDKs raise what their users expect."""
    kind = _KINDS.get(status, "ServiceUnavailableException")
    if code == "budget_exceeded":
        kind = "ServiceQuotaExceededException"
    return orjson.dumps({"message": named(message, action), "__type": kind})


class ConverseStreamReader(LazyEvents):
    """Follows one streamed Converse answer."""

    __slots__ = ("_blocks", "_stop", "_usage")

    def __init__(self) -> None:
        super().__init__(EventStream())
        self._blocks: dict[int, dict[str, Any]] = {}
        self._stop: str | None = None
        self._usage: _ReportedUsage | None = None

    @property
    def usage(self) -> Usage | None:
        """What the vendor says was used, which is the last thing it says; None until then."""
        self._catch_up()
        return self._usage.buckets() if self._usage is not None else None

    @property
    def usage_so_far(self) -> Usage | None:
        """Nothing is reported before the end."""
        return self.usage

    def answer(self) -> bytes:
        """The answer so far in the form of one that was not streamed, as JSON."""
        self._catch_up()
        blocks = [_whole(self._blocks[place]) for place in sorted(self._blocks)]
        message = {"role": "assistant", "content": blocks}
        whole: dict[str, Any] = {"output": {"message": message}, "stopReason": self._stop}
        if self._usage is not None:
            whole["usage"] = self._usage
        return msgspec.json.encode(whole)

    def _take(self, data: bytes) -> None:
        try:
            event = _EVENT.decode(data)
            self._take_event(event, data, keep=self._may_keep(len(data)))
        except UNREADABLE:
            self._bytes += len(data)

    def _take_event(self, event: _Event, data: bytes, *, keep: bool) -> None:
        if not is_null(event.content_block_delta):
            piece = _PIECE.decode(event.content_block_delta)
            self._add(piece.content_block_index, piece.delta, keep=keep)
        elif not is_null(event.content_block_start):
            piece = _PIECE.decode(event.content_block_start)
            self._add(piece.content_block_index, piece.start, keep=keep)
        elif not is_null(event.message_stop):
            self._stop = str(_OBJECT.decode(event.message_stop).get("stopReason"))
        elif not is_null(event.metadata):
            self._usage = _REPORTED.decode(event.metadata).usage
            self._finished = True
        else:
            self._error = _exception_in(data) or self._error

    def _add(self, place: int, raw: Raw, *, keep: bool) -> None:
        """Text and inputs come in pieces, which are put together by name."""
        if is_null(raw):
            return
        delta = _OBJECT.decode(raw)
        self._bytes += sum(utf8_length(text) for text in _texts(delta))
        if keep:
            _lay(self._blocks.setdefault(place, {}), delta)


class InvokeStreamReader(AnthropicStreamReader):
    """Follows one streamed invoke answer: Anthropic's events, each in base64 within a message."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(EventStream())

    def _take(self, data: bytes) -> None:
        try:
            chunk = _CHUNK.decode(data).chunk
            held = None if chunk is None else chunk.get("bytes")
            if held is None:
                self._error = _exception_in(data) or self._error
                return
            super()._take(base64.b64decode(_BYTES.decode(held)))
        except (*UNREADABLE, binascii.Error, ValueError):
            self._bytes += len(data)


def open_stream_reader() -> StreamReader:
    """A reader for one streamed Converse answer."""
    return ConverseStreamReader()


def open_invoke_reader() -> StreamReader:
    """A reader for one streamed invoke answer."""
    return InvokeStreamReader()


def tool_calls(answer: bytes) -> list[ToolCall]:
    """The tool calls a whole answer asks for, in order."""
    called = [b.tool_use for b in _content(answer) if b.tool_use is not None]
    return [ToolCall(id=c.tool_use_id, name=c.name, arguments=bytes(c.input)) for c in called]


def text_of(answer: bytes) -> str:
    """The text of a whole answer."""
    return "".join(block.text or "" for block in _content(answer))


def message_of(answer: bytes) -> bytes:
    """The message of a whole answer as the next request carries it."""
    try:
        return bytes(_RAW_ANSWER.decode(answer).output.message)
    except UNREADABLE as error:
        refuse_answer("Converse's", error)


def compose(
    model: str,
    system: str,
    *,
    messages: Sequence[Turn],
    tools: Iterable[ToolDefinition],
    parameters: Mapping[str, Any],
) -> bytes:
    """A request of the built-in runner: the prompt, the conversation so far, the tools."""
    taken: dict[str, Any] = {"messages": _written(messages)}
    if system:
        taken["system"] = [{"text": system}]
    if offered := [_offered(tool) for tool in tools]:
        taken["toolConfig"] = {"tools": offered}
    return msgspec.json.encode(merged(parameters, taken))


def _content(answer: bytes) -> list[_Block]:
    try:
        return _ANSWER.decode(answer).output.message.content or []
    except UNREADABLE as error:
        refuse_answer("Converse's", error)


def _exception_in(data: bytes) -> str | None:
    """What a message that is an exception says, if it is one."""
    for name, said in _OBJECT.decode(data).items():
        if name.endswith(("Exception", "Error")):
            told = said.get("message") if isinstance(said, dict) else said
            return f"{name}: {told}" if told else name
    return None


def _texts(delta: Mapping[str, Any]) -> Iterable[str]:
    for value in delta.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _texts(value)


def _lay(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Lay a piece over what came before it: texts grow, everything else is set."""
    for name, value in delta.items():
        before = block.get(name)
        if isinstance(value, dict):
            if not isinstance(before, dict):
                before = block[name] = {}
            _lay(before, value)
        elif isinstance(value, str) and isinstance(before, str):
            block[name] = before + value
        else:
            block[name] = value


def _whole(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block as an answer that was not streamed has it: the input of a call is an object."""
    whole = dict(block)
    call = whole.get("toolUse")
    if isinstance(call, dict) and isinstance(call.get("input"), str):
        with suppress(*UNREADABLE):  # where the stream broke off inside it, it stays a text
            whole["toolUse"] = call | {"input": _OBJECT.decode(call["input"].encode() or b"{}")}
    reasoning = whole.get("reasoningContent")
    if isinstance(reasoning, dict) and "text" in reasoning:
        whole["reasoningContent"] = {"reasoningText": reasoning}
    return whole


def _written(turns: Sequence[Turn]) -> list[Any]:
    """The conversation. Results of one message's calls stand in one message, as the vendor asks."""
    written: list[Any] = []
    results: list[dict[str, Any]] | None = None
    for turn in turns:
        match turn:
            case ToolTurn():
                if results is None:
                    results = []
                    written.append({"role": "user", "content": results})
                results.append({"toolResult": _result(turn)})
                continue
            case UserTurn(text=text):
                written.append({"role": "user", "content": [{"text": text}]})
            case AssistantTurn(message=message):
                written.append(Raw(message))
            case _:
                assert_never(turn)
        results = None
    return written


def _result(turn: ToolTurn) -> dict[str, Any]:
    failed = {"status": "error"} if turn.failed else {}
    return {"toolUseId": turn.call_id, "content": [{"text": turn.content}], **failed}


def _offered(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "toolSpec": {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": {"json": dict(tool.arguments)},
        }
    }
