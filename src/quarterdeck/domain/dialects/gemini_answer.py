"""Gemini's generateContent: what an answer says and used, whole, as events, or as one long list;
errors in its words, and the runner's own requests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, assert_never

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain.dialects.answers import (
    Tokens,
    at_least_zero,
    error_text,
    merged,
    named,
    parsed,
    refuse_answer,
)
from quarterdeck.domain.dialects.json_list import JsonList
from quarterdeck.domain.dialects.request import UNREADABLE, is_null
from quarterdeck.domain.dialects.stream import (
    Framing,
    LazyEvents,
    StreamReader,
    at_least,
    check_text,
    utf8_length,
)
from quarterdeck.domain.dialects.turns import (
    AssistantTurn,
    ToolCall,
    ToolDefinition,
    ToolTurn,
    Turn,
    UserTurn,
)
from quarterdeck.domain.money import Usage

_STATUS: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}


class _ReportedUsage(msgspec.Struct, rename="camel", gc=False):
    prompt_token_count: Tokens = None
    cached_content_token_count: Tokens = None
    candidates_token_count: Tokens = None
    tool_use_prompt_token_count: Tokens = None
    thoughts_token_count: Tokens = None

    def buckets(self) -> Usage | None:
        """The same in disjoint buckets; None where nothing is reported."""
        if self.prompt_token_count is None and self.candidates_token_count is None:
            return None
        prompt = at_least_zero(self.prompt_token_count)
        cached = min(at_least_zero(self.cached_content_token_count), prompt)
        return Usage(
            input=prompt - cached + at_least_zero(self.tool_use_prompt_token_count),
            cache_read=cached,
            output=at_least_zero(self.candidates_token_count),
            reasoning=at_least_zero(self.thoughts_token_count),
        )


class _Call(msgspec.Struct, gc=False):
    name: str = ""
    id: str = ""
    args: Raw = Raw(b"{}")


class _Part(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    thought: bool = False
    function_call: _Call | None = None


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel", gc=False):
    index: int = 0
    content: _Content | None = None
    finish_reason: str | None = None


class _Reported(msgspec.Struct, rename="camel", gc=False):
    """What is read of an answer, or of a piece of one."""

    usage_metadata: _ReportedUsage | None = None
    model_version: str | None = None
    prompt_feedback: Raw = Raw(b"")
    error: Raw = Raw(b"")


class _Answer(_Reported, rename="camel", gc=False):
    candidates: list[_Candidate] | None = None


class _RawContent(msgspec.Struct, gc=False):
    parts: list[Raw] | None = None


class _RawCandidate(msgspec.Struct, gc=False):
    index: int = 0
    content: _RawContent | None = None


class _RawAnswer(msgspec.Struct, gc=False):
    candidates: list[_RawCandidate] | None = None


_REPORTED: Final = msgspec.json.Decoder(_Reported)
_ANSWER: Final = msgspec.json.Decoder(_Answer)
_RAW_ANSWER: Final = msgspec.json.Decoder(_RawAnswer)


def usage_of_answer(body: bytes) -> tuple[Usage, str] | None:
    """What a whole answer used and the model that gave it; None if it reports nothing readable."""
    try:
        reported = _REPORTED.decode(body)
    except UNREADABLE:
        return None
    usage = reported.usage_metadata.buckets() if reported.usage_metadata is not None else None
    return None if usage is None else (usage, reported.model_version or "")


def error_body(*, status: int, code: str, message: str, action: str | None) -> bytes:
    """An error as this vendor writes it, so that its SDKs raise what their users expect."""
    detail: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": code.upper(),
        "domain": "quarterdeck",
    }
    if action is not None:
        detail["metadata"] = {"action": action}
    said = {
        "code": status,
        "message": named(message, action),
        "status": _STATUS.get(status, "UNAVAILABLE" if status > 500 else "INVALID_ARGUMENT"),
        "details": [detail],
    }
    return orjson.dumps({"error": said})


class GeminiStreamReader(LazyEvents):
    """Follows one streamed answer: pieces, each in the form of a whole one."""

    __slots__ = ("_ended", "_last", "_parts", "_usage")

    def __init__(self, framing: Framing | None = None) -> None:
        super().__init__(framing)
        self._ended: dict[int, str | None] = {}
        self._parts: dict[int, list[Raw]] = {}
        self._last = Raw(b"")
        self._usage: _ReportedUsage | None = None

    @property
    def usage(self) -> Usage | None:
        """What the vendor says was used, once it has said all of it; None until then."""
        self._catch_up()
        # Every piece reports what was used up to it: only the last one's word is final.
        return self._usage.buckets() if self._finished and self._usage is not None else None

    @property
    def usage_so_far(self) -> Usage | None:
        """What was reported up to now, with no less output than was seen; for estimates."""
        self._catch_up()
        return at_least(self._usage.buckets() if self._usage else None, self._bytes)

    def answer(self) -> bytes:
        """The answer so far in the form of one that was not streamed, as JSON."""
        self._catch_up()
        last = None if is_null(self._last) else parsed(self._last)
        whole: dict[str, Any] = last if isinstance(last, dict) else {}
        whole["candidates"] = [
            {
                "index": index,
                "content": {"role": "model", "parts": _joined(self._parts.get(index, []))},
                "finishReason": self._ended[index],
            }
            for index in sorted(self._ended)
        ]
        return msgspec.json.encode(whole)

    def _take(self, data: bytes) -> None:
        try:
            check_text(data)
            piece, raw = _ANSWER.decode(data), _RAW_ANSWER.decode(data)
        except UNREADABLE:
            self._bytes += len(data)
            return
        self._model = piece.model_version or self._model
        self._usage = piece.usage_metadata or self._usage
        if not is_null(piece.error):
            self._error = error_text(piece.error)
        keep = self._may_keep(len(data))
        if keep:
            self._last = Raw(data)
        for candidate, written in zip(piece.candidates or (), raw.candidates or (), strict=True):
            self._count(candidate)
            before = self._ended.get(candidate.index)
            self._ended[candidate.index] = candidate.finish_reason or before
            if keep and written.content is not None:
                kept = self._parts.setdefault(candidate.index, [])
                kept.extend(written.content.parts or ())
        blocked = not is_null(piece.prompt_feedback) and not piece.candidates
        self._finished = blocked or (bool(self._ended) and all(self._ended.values()))

    def _count(self, candidate: _Candidate) -> None:
        for part in (candidate.content and candidate.content.parts) or ():
            self._bytes += utf8_length(part.text or "")
            if (call := part.function_call) is not None:
                self._bytes += utf8_length(call.name) + len(call.args)


def _joined(parts: Sequence[Raw]) -> list[Any]:
    """Parts as an answer that was not streamed has them: pieces of one text are one part."""
    joined: list[Any] = []
    for raw in parts:
        part = parsed(raw)
        before = joined[-1] if joined else None
        plain = isinstance(part, dict) and part.keys() <= {"text", "thought"}
        if plain and isinstance(before, dict) and before.keys() == part.keys():
            before["text"] = str(before.get("text", "")) + str(part.get("text", ""))
        else:
            joined.append(part)
    return joined


def open_stream_reader() -> StreamReader:
    """A reader for an answer streamed as events."""
    return GeminiStreamReader()


def open_list_reader() -> StreamReader:
    """A reader for an answer streamed as one list."""
    return GeminiStreamReader(JsonList())


def tool_calls(answer: bytes) -> list[ToolCall]:
    """The tool calls a whole answer asks for, in order. Most have no id: it names no call then."""
    called = [p.function_call for p in _parts(answer) if p.function_call is not None]
    return [ToolCall(id=c.id, name=c.name, arguments=bytes(c.args)) for c in called]


def text_of(answer: bytes) -> str:
    """The text of a whole answer, without its thoughts."""
    return "".join(p.text or "" for p in _parts(answer) if not p.thought)


def message_of(answer: bytes) -> bytes:
    """The message of a whole answer as the next request carries it."""
    try:
        candidates = _RAW_ANSWER.decode(answer).candidates
    except UNREADABLE as error:
        refuse_answer("Gemini's", error)
    content = candidates[0].content if candidates else None
    parts = (content.parts if content is not None else None) or []
    return msgspec.json.encode({"role": "model", "parts": parts})


def compose(
    model: str,
    system: str,
    *,
    messages: Sequence[Turn],
    tools: Iterable[ToolDefinition],
    parameters: Mapping[str, Any],
) -> bytes:
    """A request of the built-in runner: the prompt, the conversation so far, the tools."""
    taken: dict[str, Any] = {"contents": _written(messages)}
    if system:
        taken["systemInstruction"] = {"parts": [{"text": system}]}
    if offered := [_offered(tool) for tool in tools]:
        taken["tools"] = [{"functionDeclarations": offered}]
    return msgspec.json.encode(merged(parameters, taken))


def _parts(answer: bytes) -> list[_Part]:
    try:
        candidates = _ANSWER.decode(answer).candidates
    except UNREADABLE as error:
        refuse_answer("Gemini's", error)
    content = candidates[0].content if candidates else None
    return (content.parts if content is not None else None) or []


def _written(turns: Sequence[Turn]) -> list[Any]:
    """The conversation. Results of one message's calls stand in one content, as the vendor asks."""
    written: list[Any] = []
    results: list[dict[str, Any]] | None = None
    for turn in turns:
        match turn:
            case ToolTurn(call_id=call_id, name=name, content=content, failed=failed):
                if results is None:
                    results = []
                    written.append({"role": "user", "parts": results})
                said = {"error" if failed else "output": content}
                told = {"name": name, "response": said} | ({"id": call_id} if call_id else {})
                results.append({"functionResponse": told})
                continue
            case UserTurn(text=text):
                written.append({"role": "user", "parts": [{"text": text}]})
            case AssistantTurn(message=message):
                written.append(Raw(message))
            case _:
                assert_never(turn)
        results = None
    return written


def _offered(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parametersJsonSchema": dict(tool.arguments),
    }
