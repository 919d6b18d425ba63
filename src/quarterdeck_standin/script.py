"""Scripted mode: a file of rules says what each request gets, down to the byte.

The first rule that fits a request answers it. A rule's `nth` counts the requests that fit what
else it says about requests, from 1. The format is described in docs/reference/standin.md.
"""

import base64
import binascii
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.conversation import (
    Answer,
    Conversation,
    Failure,
    Finish,
    Performance,
    Piece,
    RawReply,
    ToolCall,
    Usage,
)


class StatedUsage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Usage the script states instead of the true count."""

    input_tokens: int = 0
    output_tokens: int = 0


class StatedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call; `arguments` as a mapping, or as text that need not be JSON."""

    name: str
    arguments: dict[str, Any] | str = ""
    id: str = ""


class StatedAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer written out by the dialect: text, or `json` as text, and tool calls."""

    text: str = ""
    json: dict[str, Any] | list[Any] | None = None
    tool_calls: tuple[StatedCall, ...] = ()
    finish: Finish | None = None
    delay_seconds: float = 0.0


class Generated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text of so many pieces, each its own event of a stream."""

    chunks: int
    text: str = "word "
    delay_seconds: float = 0.0


class StatedError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An error in the dialect's own envelope."""

    status: int
    kind: str = "api_error"
    message: str = "the script says so"
    headers: dict[str, str] = {}


class StatedPiece(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes, as text or base64, sent after a delay."""

    text: str = ""
    base64: str = ""
    delay_seconds: float = 0.0


class StatedRaw(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reply byte by byte: one `body`, or `chunks`. `bare` leaves out HTTP itself."""

    status: int = 200
    headers: dict[str, str] = {}
    body: str | dict[str, Any] | list[Any] | None = None
    chunks: tuple[str | StatedPiece, ...] = ()
    bare: bool = False


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests, and what they get: exactly one of answer, generate, error, raw."""

    model: str | None = None
    dialect: Literal["openai", "anthropic"] | None = None
    offers: str | None = None
    results: int | None = None
    nth: int | tuple[int, ...] | None = None
    answer: StatedAnswer | None = None
    generate: Generated | None = None
    error: StatedError | None = None
    raw: StatedRaw | None = None
    usage: StatedUsage | None = None
    wait_seconds: float = 0.0
    cut: bool = False
    cut_after_bytes: int | None = None
    stall_seconds: float = 0.0
    stall_after_bytes: int | None = None

    def __post_init__(self) -> None:
        said = [self.answer, self.generate, self.error, self.raw]
        if sum(part is not None for part in said) != 1:
            raise ValueError("a rule needs exactly one of `answer`, `generate`, `error`, `raw`")

    def covers(self, conversation: Conversation, dialect: str) -> bool:
        """Whether a request counts for the rule."""
        results = sum(turn.role == "tool" for turn in conversation.turns)
        offered = self.offers is None or conversation.find_tool(self.offers) is not None
        return (
            self.model in (None, conversation.model)
            and self.dialect in (None, dialect)
            and self.results in (None, results)
            and offered
        )

    def wants(self, count: int) -> bool:
        """Whether the rule answers the request that is the `count`th it covers."""
        wanted = (self.nth,) if isinstance(self.nth, int) else self.nth
        return wanted is None or count in wanted


class ScriptFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A script: the models it lists and its rules, in order."""

    models: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


class Script:
    """Plays a script; it remembers only how many requests each rule has covered."""

    mode = "scripted"

    def __init__(self, file: ScriptFile) -> None:
        self.models = file.models
        self._rules = file.rules
        self._performances = [_performance_of(rule) for rule in file.rules]
        self._covered: Counter[int] = Counter()

    async def perform(self, conversation: Conversation, dialect: str) -> Performance:
        """What the script says about this request."""
        covering = [
            index for index, rule in enumerate(self._rules) if rule.covers(conversation, dialect)
        ]
        self._covered.update(covering)
        for index in covering:
            if self._rules[index].wants(self._covered[index]):
                return _called_as_offered(self._performances[index], conversation)
        message = f"no rule of the script fits this request of model `{conversation.model}`"
        return Performance(reply=Failure(status=400, kind="invalid_request_error", message=message))

    def reset(self) -> None:
        """Count requests from 1 again."""
        self._covered.clear()


def script_of(source: str | bytes | dict[str, Any]) -> Script:
    """Read a script from YAML or JSON text, or from its parsed form."""
    try:
        parsed = yaml.safe_load(source) if isinstance(source, str | bytes) else source
        return Script(msgspec.convert(parsed, ScriptFile))
    except (yaml.YAMLError, msgspec.ValidationError, binascii.Error) as error:
        hint = "see docs/reference/standin.md"
        raise Invalid(f"the script cannot be read: {error}", hint=hint) from error


def load_script(path: Path) -> Script:
    """Read a script file."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise Invalid(f"no script can be read at `{path}`", hint="check the path") from error
    return script_of(source)


def _performance_of(rule: Rule) -> Performance:
    return Performance(
        reply=_reply_of(rule),
        wait_seconds=rule.wait_seconds,
        cut=rule.cut,
        cut_after_bytes=rule.cut_after_bytes,
        stall_seconds=rule.stall_seconds,
        stall_after_bytes=rule.stall_after_bytes,
    )


def _called_as_offered(performance: Performance, conversation: Conversation) -> Performance:
    """Calls by the names the caller gives its tools: frameworks put the names of servers first."""
    answer = performance.reply
    if not isinstance(answer, Answer) or not answer.calls:
        return performance
    calls = tuple(
        replace(call, name=conversation.find_tool(call.name) or call.name) for call in answer.calls
    )
    return replace(performance, reply=replace(answer, calls=calls))


def _reply_of(rule: Rule) -> Answer | Failure | RawReply:
    usage = None
    if rule.usage is not None:
        usage = Usage(input_tokens=rule.usage.input_tokens, output_tokens=rule.usage.output_tokens)
    if rule.answer is not None:
        return _answer_of(rule.answer, usage)
    if rule.generate is not None:
        deltas = (rule.generate.text,) * rule.generate.chunks
        delay = rule.generate.delay_seconds
        return Answer(text="".join(deltas), deltas=deltas, delay_seconds=delay, usage=usage)
    if rule.error is not None:
        said = rule.error
        headers = tuple(said.headers.items())
        return Failure(status=said.status, kind=said.kind, message=said.message, headers=headers)
    assert rule.raw is not None, "the rule checked that it says exactly one thing"
    return _raw_of(rule.raw, usage)


def _answer_of(said: StatedAnswer, usage: Usage | None) -> Answer:
    calls = tuple(
        ToolCall(id=call.id, name=call.name, arguments=_json_text(call.arguments))
        for call in said.tool_calls
    )
    return Answer(
        text=said.text if said.json is None else _json_text(said.json),
        calls=calls,
        finish=said.finish,
        usage=usage,
        delay_seconds=said.delay_seconds,
    )


def _raw_of(said: StatedRaw, usage: Usage | None) -> RawReply:
    pieces = tuple(_piece_of(chunk) for chunk in said.chunks)
    headers = dict(said.headers)
    if said.body is not None:
        pieces = (Piece(body=_json_text(said.body).encode()),)
        if not said.bare:
            headers = {"content-length": str(len(pieces[0].body))} | headers
    return RawReply(
        status=said.status,
        headers=tuple(headers.items()),
        pieces=pieces,
        bare=said.bare,
        usage=usage,
    )


def _piece_of(chunk: str | StatedPiece) -> Piece:
    if isinstance(chunk, str):
        return Piece(body=chunk.encode())
    body = base64.b64decode(chunk.base64, validate=True) if chunk.base64 else chunk.text.encode()
    return Piece(body=body, delay_seconds=chunk.delay_seconds)


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
