"""Gemini's generateContent: what a request asks for. The URL says which model is asked, and whether
its answer is streamed. One edit is ever made: output is capped where no cap was given.

Names may be written in two ways, `fileData` and `file_data`; a request that uses both is refused,
since the vendor's parser takes them for one.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Raw, structs

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.dialects.edits import capped
from quarterdeck.domain.dialects.refusals import Inspection
from quarterdeck.domain.dialects.request import (
    IN_BODY,
    LIST,
    MESSAGE_TOKENS,
    OBJECT,
    REQUEST_TOKENS,
    TOKENS_MAX,
    TOOL_USE_TOKENS,
    Members,
    ModelRequest,
    check,
    count,
    is_null,
    items,
    kind_of,
    members,
    remaining,
    shown,
    words,
)
from quarterdeck.domain.dialects.request import text_of as text_in
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT

CANDIDATES_MAX: Final = 8  # the vendor's own bound on `candidateCount`
# An image is billed by tile of 768 x 768 pixels, 258 tokens each: this is one of 16 x 16 tiles.
IMAGE_TOKENS_MAX: Final = 66_048
# Video and documents are billed by second and page, whatever their bytes: no more than the window.
WINDOW_TOKENS: Final = 1_048_576

KNOWN: Final = words(
    "cachedContent contents generationConfig labels model safetySettings serviceTier store "
    "systemInstruction toolConfig tools"
)
_TOOLS: Final = MappingProxyType(
    {
        "functionDeclarations": None,
        "computerUse": None,  # carried out by the caller
        "googleSearch": "web-search",
        "googleSearchRetrieval": "web-search",
        "enterpriseWebSearch": "web-search",
        "parallelAiSearch": "web-search",
        "exaAiSearch": "web-search",
        "urlContext": "fetched-content",
        "googleMaps": "hosted-tools",
        "codeExecution": "hosted-tools",
        "fileSearch": "hosted-tools",
        "retrieval": "hosted-tools",
        "mcpServers": "remote-mcp",
    }
)
#: What may stand beside the one thing a part is.
_BESIDE: Final = words(
    "thought thoughtSignature videoMetadata audioMetadata documentMetadata spreadsheetMetadata "
    "speechMetadata partMetadata metadata mediaResolution mediaProcessing audioTranscription"
)
_HOSTED_PARTS: Final = words("executableCode codeExecutionResult toolCall toolResponse")
_HUMP: Final = re.compile(r"_([a-z])")


def peek(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request asks for, and what in it is refused; raises Invalid for unusable bytes."""
    written = members(body, "the request")
    check(body, written, ())
    fields = camel(written, "the request")
    contents = _contents(fields)
    seen = Inspection(allow)
    _inspect_fields(fields, seen)
    for index, content in enumerate(contents):
        _inspect_content(content, f"contents[{index}]", seen)
    parts = tuple(map(bytes, contents))
    if not is_null(system := fields.get("systemInstruction")):
        assert system is not None
        if kind_of(system) == OBJECT:
            _inspect_content(system, "systemInstruction", seen)
        parts = (bytes(system), *parts)
    cap, candidates = _inspect_configuration(fields, seen)
    forward, edits = body, tuple[str, ...]()
    if cap is None:
        within = ("generationConfig", "generation_config")
        name, most = "maxOutputTokens", OUTPUT_TOKENS_DEFAULT
        forward, edits = capped(body, written, within, name=name, cap=most)
    left_out = ("contents", "systemInstruction", "system_instruction")
    return ModelRequest(
        model=at.model,
        stream=at.streamed,
        content=Content(parts=parts, rest=remaining(written, left_out)),
        # Bytes bound the tokens of text; what may cost more than its bytes is added at its most.
        tokens=Tokens(
            input_max=len(body) + REQUEST_TOKENS + MESSAGE_TOKENS * len(parts) + seen.tokens,
            output_max=(cap or OUTPUT_TOKENS_DEFAULT) * candidates,
        ),
        findings=tuple(seen.findings),
        unknown=tuple(name for name in fields if name not in KNOWN),
        forward=forward,
        edits=edits,
    )


def peek_to_count(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request to count tokens asks for: the same request in itself or as its one field."""
    fields = camel(members(body, "the request"), "the request")
    asked = fields.get("generateContentRequest")
    request = peek(body if asked is None else bytes(asked), allow, at)
    free = Tokens(input_max=0, output_max=0)
    return structs.replace(request, stream=False, tokens=free, forward=body, edits=())


def camel(fields: Members, where: str) -> Members:
    """The members under the names this vendor documents, however they were written."""
    if not any("_" in name for name in fields):
        return fields
    renamed = {_HUMP.sub(lambda m: m[1].upper(), name): raw for name, raw in fields.items()}
    if len(renamed) < len(fields):
        hint = "write each name once, `likeThis`"
        raise Invalid(f"{where} names a field in two spellings", hint=hint)
    return renamed


def _contents(fields: Members) -> list[Raw]:
    raw = fields.get("contents")
    if raw is None or kind_of(raw) not in (LIST, OBJECT):
        raise Invalid("the request has no `contents`", hint="send the conversation as a list")
    return [raw] if kind_of(raw) == OBJECT else items(raw, "`contents`")


def _inspect_fields(fields: Members, seen: Inspection) -> None:
    if not is_null(fields.get("cachedContent")):
        seen.refuse("vendor-state", "cachedContent", "it names content kept at the vendor")
    if not is_null(store := fields.get("store")) and bytes(store or b"") != b"false":
        seen.refuse("vendor-state", "store", "the vendor would keep the answer")
    seen.inspect_tools(fields.get("tools"), _inspect_tools)


def _inspect_tools(tools: bytes, seen: Inspection) -> None:
    offered = items(tools, "`tools`")
    if offered:
        seen.tokens += TOOL_USE_TOKENS
    for index, raw in enumerate(offered):
        for name in camel(members(raw, f"tools[{index}]"), f"tools[{index}]"):
            where = f"tools[{index}].{name}"
            if name not in _TOOLS:
                why = f"`{shown(name)}` is not a kind of tool known here"
                seen.refuse_unknown("tool", where, why)
            elif (allowance := _TOOLS[name]) is not None:
                seen.refuse(allowance, where, "the vendor would use this tool by itself")


def _inspect_configuration(fields: Members, seen: Inspection) -> tuple[int | None, int]:
    """The output cap, and how many answers are asked for."""
    raw = fields.get("generationConfig")
    if is_null(raw):
        return None, 1
    assert raw is not None
    said = camel(members(raw, "`generationConfig`"), "`generationConfig`")
    for kind in items(said.get("responseModalities", b"null"), "`responseModalities`"):
        if (named := (text_in(kind) or "unreadable").upper()) != "TEXT":
            why = f"`{shown(named)}` answers cannot be judged as text"
            seen.refuse("audio-output", "generationConfig.responseModalities", why)
    cap = count(said, "maxOutputTokens", least=1, most=TOKENS_MAX)
    return cap, count(said, "candidateCount", least=1, most=CANDIDATES_MAX) or 1


def _inspect_content(raw: Raw, where: str, seen: Inspection) -> None:
    content = camel(members(raw, where), where)
    parts = content.get("parts")
    if is_null(parts):
        return
    assert parts is not None
    for index, part in enumerate([parts] if kind_of(parts) == OBJECT else items(parts, where)):
        place = f"{where}.parts[{index}]"
        _inspect_part(camel(members(part, place), place), place, seen)


def _inspect_part(part: Members, where: str, seen: Inspection) -> None:
    for name, raw in part.items():
        if name in _BESIDE or name in ("text", "functionCall"):
            continue
        inspect = _PARTS.get(name)
        if inspect is not None:
            inspect(raw, f"{where}.{name}", seen)
        elif name in _HOSTED_PARTS:
            why = f"`{name}` parts come from what the vendor did by itself"
            seen.refuse("hosted-tools", f"{where}.{name}", why)
        else:
            why = f"`{shown(name)}` is not a kind of part known here"
            seen.refuse_unknown("part", f"{where}.{name}", why)


def _inspect_inlined(raw: Raw, where: str, seen: Inspection) -> None:
    """Bytes in the request itself."""
    kind = (text_in(camel(members(raw, where), where).get("mimeType")) or "").lower()
    if kind.startswith("image/"):
        seen.tokens += IMAGE_TOKENS_MAX
    elif not kind.startswith(("text/", "audio/")):  # neither is more tokens than bytes
        seen.tokens += WINDOW_TOKENS


def _inspect_file(raw: Raw, where: str, seen: Inspection) -> None:
    seen.tokens += WINDOW_TOKENS
    uri = text_in(camel(members(raw, where), where).get("fileUri")) or ""
    if re.fullmatch(r"(?:https://[a-z.]*googleapis\.com/v1[a-z]*/)?files/[\w-]+", uri):
        seen.refuse("vendor-files", f"{where}.fileUri", "it names a file kept at the vendor")
    else:
        why = "the vendor would fetch it; send its bytes as inlineData"
        seen.refuse("fetched-content", f"{where}.fileUri", why)


def _inspect_response(raw: Raw, where: str, seen: Inspection) -> None:
    """What came of a call: values, and parts with bytes."""
    parts = camel(members(raw, where), where).get("parts")
    if parts is not None:
        _inspect_content(Raw(b'{"parts":' + bytes(parts) + b"}"), where, seen)


_Inspect = Callable[[Raw, str, Inspection], None]
_PARTS: Final[Mapping[str, _Inspect]] = MappingProxyType(
    {
        "inlineData": _inspect_inlined,
        "fileData": _inspect_file,
        "functionResponse": _inspect_response,
    }
)
