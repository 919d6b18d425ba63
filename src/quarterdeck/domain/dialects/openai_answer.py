"""OpenAI's chat completions: what an answer says and used, errors in its words, and the runner's
own requests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, assert_never

import msgspec
import orjson

from quarterdeck.domain.dialects.answers import (
    Tokens,
    at_least_zero,
    error_kind,
    merged,
    named,
    refuse_answer,
)
from quarterdeck.domain.dialects.request import UNREADABLE, is_null
from quarterdeck.domain.dialects.turns import (
    AssistantTurn,
    ToolCall,
    ToolDefinition,
    ToolTurn,
    Turn,
    UserTurn,
)
from quarterdeck.domain.money import Usage

#: What of a message may be sent back; the rest (annotations, reasoning) other servers refuse.
_RESENT: Final = ("role", "content", "refusal", "tool_calls", "function_call")


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: Tokens = None
    cache_write_tokens: Tokens = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Tokens = None


class ReportedUsage(msgspec.Struct, gc=False):
    """The `usage` object, as vendors of this dialect write it."""

    prompt_tokens: Tokens = None
    completion_tokens: Tokens = None
    total_tokens: Tokens = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    def buckets(self) -> Usage | None:
        """The same in disjoint buckets; None where nothing is reported."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        prompt, completion = (
            at_least_zero(self.prompt_tokens),
            at_least_zero(self.completion_tokens),
        )
        given = self.prompt_tokens_details or _PromptDetails()
        made = self.completion_tokens_details or _CompletionDetails()
        # The details are parts of the prompt; whatever a vendor claims, they never exceed it.
        read = min(at_least_zero(given.cached_tokens), prompt)
        written = min(at_least_zero(given.cache_write_tokens), prompt - read)
        # Reasoning is part of the completion at OpenAI. xAI and Gemini's compatible server count
        # it apart: it shows in the total only (Gemini's reports no details at all).
        apart = max(0, at_least_zero(self.total_tokens) - prompt - completion)
        output = completion + apart
        reasoning = min(max(at_least_zero(made.reasoning_tokens), apart), output)
        return Usage(
            input=prompt - read - written,
            cache_read=read,
            cache_write=written,
            output=output - reasoning,
            reasoning=reasoning,
        )


class _Reported(msgspec.Struct, gc=False):
    usage: ReportedUsage | None = None
    model: str | None = None


class _Named(msgspec.Struct, gc=False):
    name: str = ""
    arguments: str = ""
    input: str = ""


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Named | None = None
    custom: _Named | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Named | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None  # Azure leaves it out where its content filter spoke


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice]


class _RawChoice(msgspec.Struct, gc=False):
    message: dict[str, msgspec.Raw] | None = None


class _RawAnswer(msgspec.Struct, gc=False):
    choices: list[_RawChoice]


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
    kind = "insufficient_quota" if code == "budget_exceeded" else error_kind(status)
    error = {"message": named(message, action), "type": kind, "param": None, "code": code}
    return orjson.dumps({"error": error})


def tool_calls(answer: bytes) -> list[ToolCall]:
    """The tool calls a whole answer asks for, in order."""
    message = _message(answer)
    calls = []
    for call in message.tool_calls or ():
        called = call.function or call.custom or _Named()
        arguments = called.input if call.function is None else called.arguments
        calls.append(ToolCall(id=call.id or "", name=called.name, arguments=arguments.encode()))
    if (legacy := message.function_call) is not None:
        calls.append(ToolCall(id="", name=legacy.name, arguments=legacy.arguments.encode()))
    return calls


def text_of(answer: bytes) -> str:
    """The text of a whole answer; where the model refused, its refusal."""
    message = _message(answer)
    content = message.content
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content)
    return content or message.refusal or ""


def message_of(answer: bytes) -> bytes:
    """The message of a whole answer as the next request carries it."""
    try:
        choices = _RAW_ANSWER.decode(answer).choices
    except UNREADABLE as error:
        refuse_answer("a chat completion", error)
    message = (choices[0].message if choices else None) or {}
    kept: dict[str, Any] = {"role": "assistant", "content": None}
    kept |= {name: message[name] for name in _RESENT if not is_null(message.get(name))}
    return msgspec.json.encode(kept)


def compose(
    model: str,
    system: str,
    *,
    messages: Sequence[Turn],
    tools: Iterable[ToolDefinition],
    parameters: Mapping[str, Any],
) -> bytes:
    """A request of the built-in runner: the prompt, the conversation so far, the tools."""
    written: list[Any] = [{"role": "system", "content": system}] if system else []
    written += [_written(turn) for turn in messages]
    taken: dict[str, Any] = {"model": model, "messages": written}
    if offered := [_offered(tool) for tool in tools]:
        taken["tools"] = offered
    return msgspec.json.encode(merged(parameters, taken))


def _message(answer: bytes) -> _Message:
    try:
        choices = _ANSWER.decode(answer).choices
    except UNREADABLE as error:
        refuse_answer("a chat completion", error)
    return (choices[0].message if choices else None) or _Message()


def _written(turn: Turn) -> Any:
    match turn:
        case UserTurn(text=text):
            return {"role": "user", "content": text}
        case AssistantTurn(message=message):
            return msgspec.Raw(message)
        case ToolTurn(call_id=call_id, content=content):
            return {"role": "tool", "tool_call_id": call_id, "content": content}
        case _:
            assert_never(turn)


def _offered(tool: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.arguments),
    }
    return {"type": "function", "function": function}
