"""OpenAI's completions, the older way to ask: text in, text out. Still what many servers speak.

The vendor caps output by itself (16 tokens for each text) where no cap is given, so the only edit
is the one of chats: usage is asked for on streams that did not.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.dialects.answers import error_text
from quarterdeck.domain.dialects.edits import edited
from quarterdeck.domain.dialects.openai import CHOICES_MAX, usage_options
from quarterdeck.domain.dialects.openai_answer import ReportedUsage
from quarterdeck.domain.dialects.refusals import Inspection
from quarterdeck.domain.dialects.request import (
    IN_BODY,
    LIST,
    REQUEST_TOKENS,
    TEXT,
    TOKENS_MAX,
    UNREADABLE,
    Members,
    ModelRequest,
    check,
    count,
    flag,
    is_null,
    items,
    kind_of,
    members,
    model_of,
    remaining,
    said_by_user,
    words,
)
from quarterdeck.domain.dialects.stream import LazyEvents, StreamReader, at_least, utf8_length
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.money import Usage

KNOWN: Final = words(
    "best_of echo frequency_penalty logit_bias logprobs max_tokens model n presence_penalty prompt "
    "seed stop stream stream_options suffix temperature top_p user"
)
OUTPUT_TOKENS_OF_VENDOR: Final = 16  # for each text, where the request gives no cap


def peek(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request asks for, and what in it is refused; raises Invalid for unusable bytes."""
    fields = members(body, "the request")
    check(body, fields, ())
    stream, prompts = flag(fields, "stream"), _prompts(fields)
    seen = Inspection(allow)
    for name in ("models", "fallbacks"):  # of compatible servers
        if not is_null(fields.get(name)):
            why = "the vendor could answer with a model nobody granted"
            seen.refuse("other-models", name, why)
    options = usage_options(fields) if stream else None
    forward, edits = edited(body, fields, {} if options is None else {"stream_options": options})
    cap = count(fields, "max_tokens", least=0, most=TOKENS_MAX)
    texts = max(count(fields, name, least=1, most=CHOICES_MAX) or 1 for name in ("n", "best_of"))
    return ModelRequest(
        model=at.model or model_of(fields),
        stream=stream,
        content=Content(parts=_parts(fields), rest=remaining(fields, ("prompt",))),
        tokens=Tokens(
            input_max=len(body) + REQUEST_TOKENS * prompts,
            output_max=(OUTPUT_TOKENS_OF_VENDOR if cap is None else cap) * texts * prompts,
        ),
        findings=tuple(seen.findings),
        unknown=tuple(name for name in fields if name not in KNOWN),
        forward=forward,
        edits=edits,
        withhold_usage=bool(edits),
    )


def _prompts(fields: Members) -> int:
    """How many texts are to be completed; a list of numbers is one, by its tokens."""
    raw = fields.get("prompt")
    if is_null(raw):
        return 1
    assert raw is not None
    if kind_of(raw) not in (TEXT, LIST):
        raise Invalid("`prompt` is no text and no list", hint="send a text, or a list of texts")
    found = [] if kind_of(raw) == TEXT else items(raw, "`prompt`")
    return len(found) if found and kind_of(found[0]) in (TEXT, LIST) else 1


def _parts(fields: Members) -> tuple[bytes, ...]:
    """What is to be completed, as a user's message."""
    raw = fields.get("prompt")
    return () if raw is None or is_null(raw) else (said_by_user(raw),)


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: ReportedUsage | None = None
    error: Raw = Raw(b"")


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


class CompletionsStreamReader(LazyEvents):
    """Follows one streamed completion."""

    __slots__ = ("_ends", "_id", "_texts", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._id: str | None = None
        self._texts: dict[int, list[str]] = {}
        self._ends: dict[int, str | None] = {}
        self._usage: ReportedUsage | None = None

    @property
    def usage(self) -> Usage | None:
        """What the vendor says was used, once it has said all of it; None until then."""
        self._catch_up()
        ended = self._finished or all(self._ends.values())
        return self._usage.buckets() if self._usage is not None and ended else None

    @property
    def usage_so_far(self) -> Usage | None:
        """What was reported up to now, with no less output than was seen; for estimates."""
        self._catch_up()
        return at_least(self._usage.buckets() if self._usage else None, self._bytes)

    def answer(self) -> bytes:
        """The answer so far in the form of one that was not streamed, as JSON."""
        self._catch_up()
        choices = [
            {"index": i, "text": "".join(self._texts.get(i, ())), "finish_reason": self._ends[i]}
            for i in sorted(self._ends)
        ]
        whole: dict[str, Any] = {"id": self._id, "object": "text_completion", "model": self._model}
        whole["choices"] = choices
        if self._usage is not None:
            whole["usage"] = self._usage
        return msgspec.json.encode(whole)

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._finished = True
            return
        try:
            chunk = _CHUNK.decode(data)
        except UNREADABLE:
            self._bytes += len(data)
            return
        self._id, self._model = self._id or chunk.id, self._model or chunk.model
        self._usage = chunk.usage or self._usage
        if not is_null(chunk.error):
            self._error = error_text(chunk.error)
        keep = self._may_keep(len(data))
        for choice in chunk.choices or ():
            index, text = choice.index or 0, choice.text or ""
            self._bytes += utf8_length(text)
            self._ends[index] = choice.finish_reason or self._ends.get(index)
            if keep:
                self._texts.setdefault(index, []).append(text)


def open_stream_reader() -> StreamReader:
    """A reader for one streamed answer."""
    return CompletionsStreamReader()
