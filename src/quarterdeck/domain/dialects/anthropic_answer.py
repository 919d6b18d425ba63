"""Anthropic's messages: what an answer says and used, errors in its words, and the runner's own
requests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, assert_never

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain.dialects.answers import (
    Tokens,
    at_least_zero,
    error_kind,
    merged,
    named,
    refuse_answer,
)
from quarterdeck.domain.dialects.request import UNREADABLE
from quarterdeck.domain.dialects.turns import (
    AssistantTurn,
    ToolCall,
    ToolDefinition,
    ToolTurn,
    Turn,
    UserTurn,
)
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT
from quarterdeck.domain.money import Usage

# Requests the vendor made on its own to answer this one. Their tokens are billed and are not in
# the totals beside them; those of the other kinds are.
_BESIDE: Final = frozenset(("compaction", "advisor_message"))


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Tokens = None


class _Counts(msgspec.Struct, gc=False):
    type: str = ""
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    cache_creation_input_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    output_tokens_details: _OutputDetails | None = None


class ReportedUsage(_Counts, gc=False):
    """The `usage` object of an answer, of a stream's start, or of its end."""

    iterations: list[_Counts] | None = None

    def with_later(self, later: "ReportedUsage") -> "ReportedUsage":
        """The start of a stream and its end taken together: what the end repeats replaces."""
        said = {f: v for f in self.__struct_fields__ if (v := getattr(later, f)) is not None}
        return msgspec.structs.replace(self, **said)

    def buckets(self) -> Usage | None:
        """The same in disjoint buckets, as this vendor counts; None where nothing is reported."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        counts: list[_Counts] = [self]
        counts += [i for i in self.iterations or () if i.type in _BESIDE]
        output = sum(at_least_zero(c.output_tokens) for c in counts)
        details = self.output_tokens_details or _OutputDetails()
        reasoning = min(at_least_zero(details.thinking_tokens), output)
        return Usage(
            input=sum(at_least_zero(c.input_tokens) for c in counts),
            cache_read=sum(at_least_zero(c.cache_read_input_tokens) for c in counts),
            cache_write=sum(at_least_zero(c.cache_creation_input_tokens) for c in counts),
            output=output - reasoning,
            reasoning=reasoning,
        )


class _Reported(msgspec.Struct, gc=False):
    usage: ReportedUsage | None = None
    model: str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Answer(msgspec.Struct, gc=False):
    content: list[_Block]


class _RawAnswer(msgspec.Struct, gc=False):
    content: Raw


_REPORTED: Final = msgspec.json.Decoder(_Reported)
_ANSWER: Final = msgspec.json.Decoder(_Answer)
_RAW_ANSWER: Final = msgspec.json.Decoder(_RawAnswer)


def usage_of_answer(body: bytes) -> tuple[Usage, str] | None:
    """What a whole answer used and the model that gave it; None if it reports nothing readable."""
    try:
        reported = _REPORTED.decode(body)
    except UNREADABLE:
        return None
    usage = reported.usage.buckets() if reported.usage is not None else None
    return None if usage is None else (usage, reported.model or "")


def error_body(*, status: int, code: str, message: str, action: str | None) -> bytes:
    """An error as this vendor writes it, so that its SDKs raise what their users expect."""
    error = {"type": error_kind(status), "message": named(message, action) or code}
    body: dict[str, Any] = {"type": "error", "error": error}
    if action is not None:
        body["request_id"] = action
    return orjson.dumps(body)


def tool_calls(answer: bytes) -> list[ToolCall]:
    """The tool calls a whole answer asks for, in order."""
    return [
        ToolCall(id=block.id, name=block.name, arguments=bytes(block.input))
        for block in _content(answer)
        if block.type == "tool_use"
    ]


def text_of(answer: bytes) -> str:
    """The text of a whole answer."""
    return "".join(block.text for block in _content(answer) if block.type == "text")


def message_of(answer: bytes) -> bytes:
    """The message of a whole answer as the next request carries it."""
    try:
        content = _RAW_ANSWER.decode(answer).content
    except UNREADABLE as error:
        refuse_answer("a message", error)
    return b'{"role":"assistant","content":' + bytes(content) + b"}"


def compose(
    model: str,
    system: str,
    *,
    messages: Sequence[Turn],
    tools: Iterable[ToolDefinition],
    parameters: Mapping[str, Any],
) -> bytes:
    """A request of the built-in runner: the prompt, the conversation so far, the tools."""
    taken: dict[str, Any] = {"model": model, "messages": _written(messages)}
    if system:
        taken["system"] = system
    if offered := [_offered(tool) for tool in tools]:
        taken["tools"] = offered
    # This vendor answers nothing without a cap.
    return msgspec.json.encode({"max_tokens": OUTPUT_TOKENS_DEFAULT} | merged(parameters, taken))


def _content(answer: bytes) -> list[_Block]:
    try:
        return _ANSWER.decode(answer).content
    except UNREADABLE as error:
        refuse_answer("a message", error)


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
                results.append(_result(turn))
                continue
            case UserTurn(text=text):
                written.append({"role": "user", "content": text})
            case AssistantTurn(message=message):
                written.append(Raw(message))
            case _:
                assert_never(turn)
        results = None
    return written


def _result(turn: ToolTurn) -> dict[str, Any]:
    failed = {"is_error": True} if turn.failed else {}
    return {
        "type": "tool_result",
        "tool_use_id": turn.call_id,
        "content": turn.content,
        **failed,
    }


def _offered(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": dict(tool.arguments),
    }
