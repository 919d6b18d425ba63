"""Anthropic's messages: what a request asks for. Nothing in it is ever edited: the vendor itself
requires an output cap, and its streams always report usage."""

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from msgspec import Raw, structs

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.dialects.anthropic_answer import (
    compose,
    error_body,
    message_of,
    text_of,
    tool_calls,
    usage_of_answer,
)
from quarterdeck.domain.dialects.anthropic_stream import open_stream_reader
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
    is_null,
    is_text_part,
    items,
    kind_of,
    members,
    messages_of,
    model_of,
    remaining,
    shown,
    words,
)
from quarterdeck.domain.dialects.request import text_of as text_in
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT

__all__ = [
    "compose",
    "error_body",
    "message_of",
    "open_stream_reader",
    "peek",
    "peek_to_count",
    "text_of",
    "tool_calls",
    "usage_of_answer",
]

# The dearest published case: models that see in high resolution bill up to 4,784 tokens an image.
IMAGE_TOKENS_MAX: Final = 4_784
# A tool the vendor defines brings its own description: 245 to 735 tokens are published for the
# single ones; a toolset brings a family of them.
VENDOR_TOOL_TOKENS: Final = 4096

KNOWN: Final = words(
    "anthropic_beta anthropic_version betas billing_policy cache_control compaction container "
    "context_management diagnostics "
    "fallback_credit_token fallbacks inference_geo max_tokens mcp_servers messages metadata "
    "model output_config output_format service_tier speed stop_sequences stream system "
    "temperature thinking thread tool_choice tools top_k top_p user_profile_id workspace_id"
)
_ACTING: Final = MappingProxyType(
    {
        "mcp_servers": ("remote-mcp", "the vendor would call these servers itself"),
        "container": ("vendor-state", "it continues in a container kept at the vendor"),
        "thread": ("vendor-state", "the vendor would keep the conversation"),
        "fallbacks": ("other-models", "the vendor could answer with a model nobody granted"),
    }
)
_NOTHING: Final = frozenset((b"null", b"false", b"[]", b"{}"))
# Carried out by the caller, whoever wrote their description.
_CLIENT_TOOL: Final = re.compile(
    r"(?:bash|text_editor|computer|computer_toolset|memory)_\d{8}", re.ASCII
)
_HOSTED_TOOL: Final = re.compile(
    r"(?:web_search|web_fetch|code_execution|advisor)_\d{8}|tool_search\w*|mcp_toolset", re.ASCII
)
#: Blocks that only occur where the vendor acted by itself, and what opens that.
_HOSTED_BLOCKS: Final = MappingProxyType(
    {
        "server_tool_use": "hosted-tools",
        "web_search_tool_result": "hosted-tools",
        "web_fetch_tool_result": "hosted-tools",
        "code_execution_tool_result": "hosted-tools",
        "bash_code_execution_tool_result": "hosted-tools",
        "text_editor_code_execution_tool_result": "hosted-tools",
        "tool_search_tool_result": "hosted-tools",
        "advisor_tool_result": "hosted-tools",
        "mcp_tool_use": "remote-mcp",
        "mcp_tool_result": "remote-mcp",
        "container_upload": "vendor-files",
        "fallback": "other-models",
    }
)


def peek(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request asks for, and what in it is refused; raises Invalid for unusable bytes."""
    fields = members(body, "the request")
    model, stream = at.model or model_of(fields), at.streamed or flag(fields, "stream")
    parts, rich = messages_of(fields)
    check(body, fields, [parts[index] for index, _ in rich])
    seen = Inspection(allow)
    _inspect_fields(fields, seen)
    for index, content in rich:
        where = f"messages[{index}]"
        if content is not None:
            _inspect_content(content, where, seen)
        elif not has_text_only(parts[index]):
            _inspect_content(members(parts[index], where).get("content"), where, seen)
    if not is_null(system := fields.get("system")):
        assert system is not None
        _inspect_content(system, "system", seen)
        parts = (bytes(system), *parts)
    output_max = count(fields, "max_tokens", least=0, most=TOKENS_MAX)
    return ModelRequest(
        model=model,
        stream=stream,
        content=Content(parts=parts, rest=remaining(fields, ("messages", "system"))),
        # A token of text covers at least one byte of it, and JSON never writes text in fewer bytes
        # than UTF-8 does. Images and documents can cost more than their bytes: a blank one
        # compresses to nothing. They are added at their most, as are tools the vendor describes.
        tokens=Tokens(
            input_max=len(body) + REQUEST_TOKENS + MESSAGE_TOKENS * len(parts) + seen.tokens,
            output_max=OUTPUT_TOKENS_DEFAULT if output_max is None else output_max,
        ),
        findings=tuple(seen.findings),
        unknown=tuple(name for name in fields if name not in KNOWN),
        forward=body,
    )


def peek_to_count(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """The same of a request to count its tokens, which generates nothing and costs none."""
    request = peek(body, allow, at)
    return structs.replace(request, stream=False, tokens=Tokens(input_max=0, output_max=0))


def _inspect_fields(fields: Members, seen: Inspection) -> None:
    for name in (name for name in fields if name in _ACTING):
        if bytes(fields[name]) not in _NOTHING:
            allowance, why = _ACTING[name]
            seen.refuse(allowance, name, why)
    seen.inspect_tools(fields.get("tools"), _inspect_tools)


def _inspect_tools(tools: bytes, seen: Inspection) -> None:
    offered = items(tools, "`tools`")
    if offered:
        seen.tokens += TOOL_USE_TOKENS
    for index, raw in enumerate(offered):
        where = f"tools[{index}]"
        kind = members(raw, where).get("type")
        if not is_null(kind):
            _inspect_tool(text_in(kind), f"{where}.type", seen)


def _inspect_tool(kind: str | None, where: str, seen: Inspection) -> None:
    if kind == "custom":
        return
    seen.tokens += VENDOR_TOOL_TOKENS
    if kind is not None and _HOSTED_TOOL.fullmatch(kind):
        why = f"`{shown(kind)}` is a tool the vendor would run by itself"
        seen.refuse("hosted-tools", where, why)
    elif kind is None or not _CLIENT_TOOL.fullmatch(kind):
        why = f"`{shown(kind or 'unreadable')}` is not a kind of tool known here"
        seen.refuse_unknown("tool", where, why)


def _inspect_content(content: Raw | None, where: str, seen: Inspection) -> None:
    """A string, or a list of blocks: of a message, the system prompt, a tool result, a source."""
    kind = NULL if content is None else kind_of(content)
    if content is None or kind in (TEXT, NULL):
        return
    if kind != LIST:
        raise Invalid(f"{where} has content that is no text and no list", hint="send blocks")
    for index, raw in enumerate(items(content, where)):
        if is_text_part(raw):
            continue
        place = f"{where}.content[{index}]"
        block = members(raw, place)
        named = text_in(block.get("type")) or "absent"
        inspect = _BLOCKS.get(named)
        if inspect is not None:
            inspect(block, place, seen)
        elif named in _HOSTED_BLOCKS:
            why = f"`{named}` blocks come from what the vendor did by itself"
            seen.refuse(_HOSTED_BLOCKS[named], f"{place}.type", why)
        else:
            why = f"`{shown(named)}` is not a kind of content block known here"
            seen.refuse_unknown("part", f"{place}.type", why)


def _inspect_source(block: Members, where: str, seen: Inspection) -> None:
    """Where the bytes of an image or a document come from."""
    seen.tokens += IMAGE_TOKENS_MAX if text_in(block["type"]) == "image" else DOCUMENT_TOKENS_MAX
    raw = block.get("source")
    source = members(raw, f"{where}.source") if raw is not None else {}
    match kind := text_in(source.get("type")):
        case "base64" | "text":
            pass
        case "content":
            _inspect_content(source.get("content"), f"{where}.source", seen)
        case "url":
            why = "the vendor would fetch it; send its bytes as base64"
            seen.refuse("fetched-content", f"{where}.source", why)
        case "file":
            seen.refuse("vendor-files", f"{where}.source", "it names a file kept at the vendor")
        case _:
            why = f"`{shown(kind or 'absent')}` is not a kind of source known here"
            seen.refuse_unknown("part", f"{where}.source.type", why)


def _inspect_nested(block: Members, where: str, seen: Inspection) -> None:
    _inspect_content(block.get("content"), where, seen)


def _inspect_compaction(block: Members, where: str, seen: Inspection) -> None:
    changes = block.get("tool_changes")
    if changes is not None and bytes(changes) not in _NOTHING:
        why = "it can define tools, which are judged in `tools` only"
        seen.refuse_unknown("part", f"{where}.tool_changes", why)


def _inspect_nothing(block: Members, where: str, seen: Inspection) -> None:
    """Text in one form or another: it carries all it says."""


_Inspect = Callable[[Members, str, Inspection], None]
_BLOCKS: Final = MappingProxyType[str, _Inspect](
    {
        "text": _inspect_nothing,
        "thinking": _inspect_nothing,
        "redacted_thinking": _inspect_nothing,
        "tool_use": _inspect_nothing,
        "tool_reference": _inspect_nothing,
        "image": _inspect_source,
        "document": _inspect_source,
        "tool_result": _inspect_nested,
        "search_result": _inspect_nested,
        "compaction": _inspect_compaction,
    }
)
