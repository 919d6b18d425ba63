"""OpenAI's chat completions: what a request asks for.

Two edits are ever made, both at the front of the object or in place of one value: usage is asked
for on streams that did not, and output is capped where no cap was given. Every other byte stays.
"""

from types import MappingProxyType
from typing import Final

from msgspec import Raw

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.dialects.edits import edited, inserted, replaced
from quarterdeck.domain.dialects.openai_answer import (
    compose,
    error_body,
    message_of,
    text_of,
    tool_calls,
    usage_of_answer,
)
from quarterdeck.domain.dialects.openai_stream import is_usage_only, open_stream_reader
from quarterdeck.domain.dialects.refusals import Inspection
from quarterdeck.domain.dialects.request import (
    DOCUMENT_TOKENS_MAX,
    IN_BODY,
    LIST,
    MESSAGE_TOKENS,
    NULL,
    REQUEST_TOKENS,
    TEXT,
    TOKENS_MAX,
    TOOL_USE_TOKENS,
    Members,
    ModelRequest,
    check,
    count,
    flag,
    has_text_only,
    is_function,
    is_null,
    is_text_part,
    items,
    kind_of,
    members,
    messages_of,
    model_of,
    remaining,
    shown,
    spans,
    words,
)
from quarterdeck.domain.dialects.request import text_of as text_in
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT

__all__ = [
    "compose",
    "error_body",
    "is_usage_only",
    "message_of",
    "open_stream_reader",
    "peek",
    "text_of",
    "tool_calls",
    "usage_of_answer",
]

CHOICES_MAX: Final = 128  # the vendor's own bound on `n`
# The dearest published case: gpt-4o-mini bills 2,833 tokens and 5,667 for each of at most 8 tiles.
IMAGE_TOKENS_MAX: Final = 48_169

KNOWN: Final = words(
    "audio frequency_penalty function_call functions logit_bias logprobs "
    "max_completion_tokens max_tokens messages metadata modalities model moderation n "
    "parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options "
    "prompt_cache_retention reasoning_effort response_format safety_identifier seed "
    "service_tier stop store stream stream_options temperature tool_choice tools top_logprobs "
    "top_p user verbosity web_search_options"
)
# Fields that make a vendor act by itself, OpenAI's own and those of compatible servers that fleets
# point at: what they open, and why.
_ACTING: Final = MappingProxyType(
    {
        "web_search_options": ("web-search", "the vendor would search the web"),
        "search_parameters": ("web-search", "the vendor would search the web"),
        "enable_search": ("web-search", "the vendor would search the web"),
        "data_sources": ("fetched-content", "the vendor would query data sources by itself"),
        "plugins": ("hosted-tools", "the vendor would run plugins of its own"),
        "models": ("other-models", "the vendor could answer with a model nobody granted"),
        "fallbacks": ("other-models", "the vendor could answer with a model nobody granted"),
        "store": ("vendor-state", "the vendor would keep the answer"),
        "previous_response_id": ("vendor-state", "it continues an answer kept at the vendor"),
        "conversation": ("vendor-state", "it continues a conversation kept at the vendor"),
        "background": ("vendor-state", "the vendor would work on after this call has ended"),
        "prompt": ("vendor-state", "it names a prompt kept at the vendor"),
    }
)
_NOTHING: Final = frozenset((b"null", b"false", b"[]", b"{}"))
# An empty object is a wish here: search with the defaults.
_NOTHING_BUT_DEFAULTS: Final = frozenset((b"null", b"false"))


def peek(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request asks for, and what in it is refused; raises Invalid for unusable bytes."""
    fields = members(body, "the request")
    model, stream = at.model or model_of(fields), at.streamed or flag(fields, "stream")
    parts, rich = messages_of(fields)
    check(body, fields, [parts[index] for index, _ in rich])
    seen = Inspection(allow)
    _inspect_fields(fields, seen)
    for index, content in rich:
        if content is not None:
            _inspect_content(content, f"messages[{index}]", seen)
        elif not has_text_only(parts[index], b'"audio"'):
            _inspect_message(members(parts[index], f"messages[{index}]"), index, seen)
    output_max = _output_max(fields)
    framing = REQUEST_TOKENS + MESSAGE_TOKENS * len(parts)
    if "tools" in fields or "functions" in fields:
        framing += TOOL_USE_TOKENS
    forward, edits = edited(body, fields, _wanted(fields, output_max, stream=stream, allow=allow))
    choices = count(fields, "n", least=1, most=CHOICES_MAX) or 1
    return ModelRequest(
        model=model,
        stream=stream,
        content=Content(parts=parts, rest=remaining(fields, ("messages",))),
        # A token of text covers at least one byte of it, and JSON never writes text in fewer bytes
        # than UTF-8 does; audio is far below one token per byte of base64. Images and documents
        # can be: a blank one compresses to nothing. They are added at their most.
        tokens=Tokens(
            input_max=len(body) + framing + seen.tokens,
            output_max=(output_max or OUTPUT_TOKENS_DEFAULT) * choices,
        ),
        findings=tuple(seen.findings),
        unknown=tuple(name for name in fields if name not in KNOWN),
        forward=forward,
        edits=edits,
        withhold_usage="stream_options" in edits,
    )


def _output_max(fields: Members) -> int | None:
    """The cap the client gave: the larger, should it give both of the names it has had."""
    caps = [
        cap
        for name in ("max_completion_tokens", "max_tokens")
        if (cap := count(fields, name, least=1, most=TOKENS_MAX)) is not None
    ]
    return max(caps, default=None)


def _wanted(
    fields: Members, output_max: int | None, *, stream: bool, allow: frozenset[str]
) -> dict[str, bytes]:
    """The fields that must be added or set before the request may leave."""
    wanted = {}
    if output_max is None:
        cap = "max_tokens" if "legacy-max-tokens" in allow else "max_completion_tokens"
        wanted[cap] = str(OUTPUT_TOKENS_DEFAULT).encode()
    if stream and (options := usage_options(fields)) is not None:
        wanted["stream_options"] = options
    return wanted


def usage_options(fields: Members) -> bytes | None:
    """The `stream_options` to send in place of the client's, or None where they ask for usage."""
    raw = fields.get("stream_options")
    if is_null(raw):
        return b'{"include_usage":true}'
    assert raw is not None
    options = members(raw, "`stream_options`")
    source = bytes(raw)
    if "include_usage" in options:
        if flag(options, "include_usage"):
            return None
        place = spans(source, options, "`stream_options`")["include_usage"]
        return replaced(source, place, b"true")
    return inserted(source, {"include_usage": b"true"}) if options else b'{"include_usage":true}'


def _inspect_fields(fields: Members, seen: Inspection) -> None:
    for name in (name for name in fields if name in _ACTING):
        idle = _NOTHING_BUT_DEFAULTS if name.startswith("web_search") else _NOTHING
        if bytes(fields[name]) not in idle:
            allowance, why = _ACTING[name]
            seen.refuse(allowance, name, why)
    seen.inspect_tools(fields.get("tools"), _inspect_tools)
    for raw in items(fields.get("modalities", b"null"), "`modalities`"):
        if (kind := text_in(raw)) != "text":
            why = f"`{shown(kind or 'unreadable')}` answers cannot be judged as text"
            seen.refuse("audio-output", "modalities", why)


def _inspect_tools(tools: bytes, seen: Inspection) -> None:
    for index, raw in enumerate(items(tools, "`tools`")):
        if is_function(raw):
            continue
        where = f"tools[{index}]"
        kind = text_in(members(raw, where).get("type"))
        if kind not in ("function", "custom"):
            why = f"`{shown(kind or 'absent')}` is a tool the vendor would run by itself"
            seen.refuse("hosted-tools", f"{where}.type", why)


def _inspect_message(message: Members, index: int, seen: Inspection) -> None:
    if not is_null(message.get("audio")):
        where = f"messages[{index}].audio"
        seen.refuse("vendor-state", where, "it names audio kept at the vendor")
    if (content := message.get("content")) is not None:
        _inspect_content(content, f"messages[{index}]", seen)


def _inspect_content(content: Raw, where: str, seen: Inspection) -> None:
    kind = kind_of(content)
    if kind in (TEXT, NULL):
        return
    if kind != LIST:
        raise Invalid(f"{where}.content is no text and no list", hint="send a string or parts")
    for index, raw in enumerate(items(content, f"{where}.content")):
        # Some servers take bare strings as text.
        if not (is_text_part(raw) or kind_of(raw) == TEXT):
            place = f"{where}.content[{index}]"
            _inspect_part(members(raw, place), place, seen)


def _inspect_part(part: Members, where: str, seen: Inspection) -> None:
    kind = text_in(part.get("type"))
    match kind:
        case "text" | "refusal":
            pass
        case "input_audio":
            _inspect_inlined(part, "input_audio", where, seen)
        case "image_url":
            seen.tokens += IMAGE_TOKENS_MAX
            _inspect_image(part.get("image_url"), where, seen)
        case "file":
            seen.tokens += DOCUMENT_TOKENS_MAX
            _inspect_inlined(part, "file", where, seen)
        case _:
            why = f"`{shown(kind or 'absent')}` is not a kind of content part known here"
            seen.refuse_unknown("part", f"{where}.type", why)


def _inspect_image(image: Raw | None, where: str, seen: Inspection) -> None:
    url = None
    if image is not None:
        # Compatible servers also take the bare address.
        bare = kind_of(image) == TEXT
        url = text_in(image if bare else members(image, f"{where}.image_url").get("url"))
    if url is None or url[:5].lower() != "data:":
        why = "the vendor would fetch it; send the image as a data: URI"
        seen.refuse("fetched-content", f"{where}.image_url.url", why)


def _inspect_inlined(part: Members, kind: str, where: str, seen: Inspection) -> None:
    """A file or a sound must be in the request itself."""
    raw = part.get(kind)
    named = members(raw, f"{where}.{kind}") if raw is not None else {}
    if not is_null(named.get("file_id")):
        seen.refuse("vendor-files", f"{where}.{kind}.file_id", "it names a file at the vendor")
    if not is_null(named.get("file_url")):
        seen.refuse("fetched-content", f"{where}.{kind}.file_url", "the vendor would fetch it")
    for name in ("file_data", "data"):  # some servers take an address here; base64 has no colon
        held = text_in(named.get(name)) or ""
        if ":" in held[:64] and held[:5].lower() != "data:":
            seen.refuse("fetched-content", f"{where}.{kind}.{name}", "the vendor would fetch it")
