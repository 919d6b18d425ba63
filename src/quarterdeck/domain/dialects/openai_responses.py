"""OpenAI's responses: what a request asks for. One edit is ever made: output is capped where no cap
was given. Usage always comes with the last event.

What is refused is the *use* of state kept at the vendor, and asking for more of it by name. That
the vendor keeps an answer for a while where `store` is absent is its own default, and documented.
"""

from types import MappingProxyType
from typing import Final

from msgspec import Raw

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.dialects.edits import edited
from quarterdeck.domain.dialects.openai import IMAGE_TOKENS_MAX
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
    is_null,
    items,
    kind_of,
    members,
    model_of,
    remaining,
    said_by_user,
    shown,
    words,
)
from quarterdeck.domain.dialects.request import text_of as text_in
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT

# A tool that the vendor describes and the caller carries out brings its description with it.
VENDOR_TOOL_TOKENS: Final = 4096

KNOWN: Final = words(
    "access_programs background background_options context_management conversation image include "
    "input instructions "
    "max_output_tokens "
    "max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt "
    "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier "
    "service_tier store stream stream_options temperature text tool_choice tools top_logprobs "
    "top_p truncation user verbosity"
)
_ACTING: Final = MappingProxyType(
    {
        "store": ("vendor-state", "the vendor would keep the answer"),
        "previous_response_id": ("vendor-state", "it continues an answer kept at the vendor"),
        "conversation": ("vendor-state", "it continues a conversation kept at the vendor"),
        "background": ("vendor-state", "the vendor would work on after this call has ended"),
        "prompt": ("vendor-state", "it names a prompt kept at the vendor"),
    }
)
_NOTHING: Final = frozenset((b"null", b"false", b"[]", b"{}"))
_OFFERED: Final = frozenset(("function", "custom"))
# Carried out by the caller, whoever wrote their description.
_CLIENT_TOOLS: Final = frozenset(
    ("computer", "computer_use_preview", "computer-preview", "local_shell", "apply_patch")
)
#: Items and parts that carry all they say.
_PLAIN_ITEMS: Final = frozenset(
    (
        "function_call",
        "custom_tool_call",
        "reasoning",
        "computer_call",
        "local_shell_call",
        "local_shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "compaction",
        "compaction_summary",
    )
)
_PLAIN_PARTS: Final = frozenset(
    ("input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text")
)
#: Items that only occur where the vendor acted by itself, and what opens that.
_HOSTED_ITEMS: Final = MappingProxyType(
    {
        "item_reference": "vendor-state",
        "web_search_call": "hosted-tools",
        "file_search_call": "hosted-tools",
        "code_interpreter_call": "hosted-tools",
        "image_generation_call": "hosted-tools",
        "shell_call": "hosted-tools",
        "shell_call_output": "hosted-tools",
        "tool_search_call": "hosted-tools",
        "tool_search_output": "hosted-tools",
        "mcp_list_tools": "remote-mcp",
        "mcp_call": "remote-mcp",
        "mcp_approval_request": "remote-mcp",
        "mcp_approval_response": "remote-mcp",
    }
)


def peek(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request asks for, and what in it is refused; raises Invalid for unusable bytes."""
    fields = members(body, "the request")
    parts = _parts_of(fields)
    check(body, fields, ())
    seen = Inspection(allow)
    _inspect_fields(fields, seen)
    if kind_of(fields["input"]) == LIST:
        for index, part in enumerate(parts):
            _inspect_item(part, f"input[{index}]", seen)
    if not is_null(instructions := fields.get("instructions")):
        parts = (bytes(instructions or b""), *parts)
    output_max = count(fields, "max_output_tokens", least=1, most=TOKENS_MAX)
    wanted = {} if output_max else {"max_output_tokens": b"%d" % OUTPUT_TOKENS_DEFAULT}
    forward, edits = edited(body, fields, wanted)
    return ModelRequest(
        model=model_of(fields),
        stream=flag(fields, "stream"),
        content=Content(parts=parts, rest=remaining(fields, ("input", "instructions"))),
        # Bytes bound the tokens of text; what may cost more than its bytes is added at its most.
        tokens=Tokens(
            input_max=len(body) + REQUEST_TOKENS + MESSAGE_TOKENS * len(parts) + seen.tokens,
            output_max=output_max or OUTPUT_TOKENS_DEFAULT,
        ),
        findings=tuple(seen.findings),
        unknown=tuple(name for name in fields if name not in KNOWN),
        forward=forward,
        edits=edits,
    )


def _parts_of(fields: Members) -> tuple[bytes, ...]:
    """The items of the input as they came; a text is one that a user says."""
    raw = fields.get("input")
    if raw is None or kind_of(raw) not in (LIST, TEXT):
        raise Invalid("the request has no `input`", hint="send a text, or a list of items")
    if kind_of(raw) == TEXT:
        return (said_by_user(raw),)
    return tuple(map(bytes, items(raw, "`input`")))


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
        tool = members(raw, where)
        kind = text_in(tool.get("type")) or "absent"
        if kind == "mcp":
            seen.refuse("remote-mcp", where, "the vendor would call this server itself")
        elif kind in _CLIENT_TOOLS:
            seen.tokens += VENDOR_TOOL_TOKENS
        elif kind not in _OFFERED:
            why = f"`{shown(kind)}` is a tool the vendor would run by itself"
            seen.refuse("hosted-tools", f"{where}.type", why)


def _inspect_item(raw: bytes, where: str, seen: Inspection) -> None:
    if raw[:1] == b'"':  # some servers take bare strings
        return
    item = members(raw, where)
    kind = text_in(item.get("type"))
    if kind is None and "role" in item:
        kind = "message"
    named = kind or "absent"
    if named == "message":
        _inspect_content(item.get("content"), f"{where}.content", seen)
    elif named.endswith("_output") and named not in _HOSTED_ITEMS and named not in _PLAIN_ITEMS:
        _inspect_output(named, item, where, seen)
    elif named in _HOSTED_ITEMS:
        why = f"`{named}` items come from what the vendor keeps or did by itself"
        seen.refuse(_HOSTED_ITEMS[named], f"{where}.type", why)
    elif named not in _PLAIN_ITEMS:
        why = f"`{shown(named)}` is not a kind of item known here"
        seen.refuse_unknown("part", f"{where}.type", why)


def _inspect_output(kind: str, item: Members, where: str, seen: Inspection) -> None:
    """What came of a call the caller carried out."""
    output = item.get("output")
    if kind in ("function_call_output", "custom_tool_call_output"):
        _inspect_content(output, f"{where}.output", seen)
    elif kind == "computer_call_output" and output is not None:
        seen.tokens += IMAGE_TOKENS_MAX
        _inspect_source(members(output, f"{where}.output"), f"{where}.output", seen)
    else:
        why = f"`{shown(kind)}` is not a kind of item known here"
        seen.refuse_unknown("part", f"{where}.type", why)


def _inspect_content(content: Raw | None, where: str, seen: Inspection) -> None:
    if content is None or kind_of(content) in (TEXT, NULL):
        return
    if kind_of(content) != LIST:
        raise Invalid(f"{where} is no text and no list", hint="send a string or parts")
    for index, raw in enumerate(items(content, where)):
        place = f"{where}[{index}]"
        part = members(raw, place)
        kind = text_in(part.get("type")) or "absent"
        if kind in _PLAIN_PARTS:
            continue
        if kind in ("input_image", "input_file", "input_audio"):
            image = kind == "input_image"
            seen.tokens += IMAGE_TOKENS_MAX if image else DOCUMENT_TOKENS_MAX
            _inspect_source(part, place, seen)
        else:
            why = f"`{shown(kind)}` is not a kind of content part known here"
            seen.refuse_unknown("part", f"{place}.type", why)


def _inspect_source(part: Members, where: str, seen: Inspection) -> None:
    """The bytes of an image or a file must be in the request itself."""
    if not is_null(part.get("file_id")):
        seen.refuse("vendor-files", f"{where}.file_id", "it names a file at the vendor")
    for name in ("image_url", "file_url", "file_data"):
        held = part.get(name)
        if is_null(held):
            continue
        text = text_in(held) or ""
        inlined = text[:5].lower() == "data:" or (name == "file_data" and ":" not in text[:64])
        if not inlined:
            why = "the vendor would fetch it; send its bytes as a data: URI"
            seen.refuse("fetched-content", f"{where}.{name}", why)
