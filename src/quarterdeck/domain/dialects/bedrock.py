"""Bedrock's runtime: what a Converse or an invoke request asks for. The URL says which model is
asked, and whether its answer is streamed.

Converse has one format for all models; one edit is ever made in it: output is capped where no cap
was given. Invoke takes each model's own format: only Anthropic's is read here, and nothing edited.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Raw

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.dialects import anthropic
from quarterdeck.domain.dialects.edits import capped
from quarterdeck.domain.dialects.refusals import Inspection
from quarterdeck.domain.dialects.request import (
    DOCUMENT_TOKENS_MAX,
    IN_BODY,
    MESSAGE_TOKENS,
    REQUEST_TOKENS,
    TOKENS_MAX,
    TOOL_USE_TOKENS,
    Members,
    ModelRequest,
    check,
    count,
    is_null,
    items,
    members,
    remaining,
    shown,
    words,
)
from quarterdeck.domain.dialects.request import text_of as text_in
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT

# Of the models served there, the dearest published: Anthropic's, in high resolution.
IMAGE_TOKENS_MAX: Final = anthropic.IMAGE_TOKENS_MAX
VIDEO_TOKENS_MAX: Final = 1_048_576  # billed by second: no more than a window

KNOWN: Final = words(
    "additionalModelRequestFields additionalModelResponseFieldPaths guardrailConfig "
    "inferenceConfig messages outputConfig performanceConfig promptVariables requestMetadata "
    "serviceTier system toolConfig"
)
_ACTING: Final = MappingProxyType(
    {
        "guardrailConfig": ("vendor-guardrails", "the vendor would apply and bill a guardrail"),
        "promptVariables": ("vendor-state", "it fills a prompt kept at the vendor"),
    }
)
#: Fields of models' own formats that make a vendor act, as `additionalModelRequestFields` has them.
_ACTING_WITHIN: Final = MappingProxyType(
    {
        "tools": ("hosted-tools", "tools are judged in `toolConfig` only"),
        "mcp_servers": ("remote-mcp", "the vendor would call these servers itself"),
        "container": ("vendor-state", "it continues in a container kept at the vendor"),
        "system_tools": ("hosted-tools", "the vendor would run these tools by itself"),
    }
)
_NOTHING: Final = frozenset((b"null", b"false", b"[]", b"{}"))
# `toolAddition` and `toolRemoval` only name tools that `toolConfig` describes.
_PLAIN_BLOCKS: Final = words(
    "text toolUse cachePoint reasoningContent toolAddition toolRemoval searchResult "
    "citationsContent"
)


def peek_converse(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request asks for, and what in it is refused; raises Invalid for unusable bytes."""
    fields = members(body, "the request")
    check(body, fields, ())
    raw = fields.get("messages", b"null")
    if is_null(raw):
        raise Invalid("the request has no `messages`", hint="send the conversation as a list")
    messages = items(raw, "`messages`")
    seen = Inspection(allow)
    _inspect_fields(fields, seen)
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        _inspect_blocks(members(message, where).get("content"), f"{where}.content", seen)
    parts = tuple(map(bytes, messages))
    if not is_null(system := fields.get("system")):
        assert system is not None
        _inspect_blocks(system, "system", seen)
        parts = (bytes(system), *parts)
    said = fields.get("inferenceConfig")
    configuration: Members = {} if said is None else members(said, "`inferenceConfig`")
    cap = count(configuration, "maxTokens", least=1, most=TOKENS_MAX)
    forward, edits = body, tuple[str, ...]()
    if cap is None:
        within, most = ("inferenceConfig",), OUTPUT_TOKENS_DEFAULT
        forward, edits = capped(body, fields, within, name="maxTokens", cap=most)
    return ModelRequest(
        model=at.model,
        stream=at.streamed,
        content=Content(parts=parts, rest=remaining(fields, ("messages", "system"))),
        # Bytes bound the tokens of text; what may cost more than its bytes is added at its most.
        tokens=Tokens(
            input_max=len(body) + REQUEST_TOKENS + MESSAGE_TOKENS * len(parts) + seen.tokens,
            output_max=cap or OUTPUT_TOKENS_DEFAULT,
        ),
        findings=tuple(seen.findings),
        unknown=tuple(name for name in fields if name not in KNOWN),
        forward=forward,
        edits=edits,
    )


def peek_invoke(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """The same of a request in a model's own format, which is Anthropic's or not read here."""
    fields = members(body, "the request")
    if not text_in(fields.get("anthropic_version")):
        raise Invalid(
            "only Anthropic's models are invoked in their own format: others' bodies bound nothing",
            hint="use Converse for this model; Anthropic's bodies say `anthropic_version`",
        )
    return anthropic.peek(body, allow, at)


def _inspect_fields(fields: Members, seen: Inspection) -> None:
    _inspect_acting(fields, _ACTING, "", seen)
    within = fields.get("additionalModelRequestFields")
    if not is_null(within):
        assert within is not None
        where = "additionalModelRequestFields"
        _inspect_acting(members(within, f"`{where}`"), _ACTING_WITHIN, f"{where}.", seen)
    seen.inspect_tools(fields.get("toolConfig"), _inspect_tools)


def _inspect_tools(configuration: bytes, seen: Inspection) -> None:
    if is_null(configuration):
        return
    seen.tokens += TOOL_USE_TOKENS
    offered = members(configuration, "`toolConfig`").get("tools", b"null")
    for index, raw in enumerate(items(offered, "`toolConfig.tools`")):
        for name in members(raw, f"toolConfig.tools[{index}]"):
            where = f"toolConfig.tools[{index}].{name}"
            if name == "systemTool":
                seen.refuse("hosted-tools", where, "the vendor would run this tool by itself")
            elif name not in ("toolSpec", "cachePoint"):
                why = f"`{shown(name)}` is not a kind of tool known here"
                seen.refuse_unknown("tool", where, why)


def _inspect_acting(
    fields: Members, acting: Mapping[str, tuple[str, str]], within: str, seen: Inspection
) -> None:
    for name in (name for name in fields if name in acting):
        if bytes(fields[name]) not in _NOTHING:
            allowance, why = acting[name]
            seen.refuse(allowance, f"{within}{name}", why)


def _inspect_blocks(content: Raw | None, where: str, seen: Inspection) -> None:
    """Content blocks of a message, the system prompt or a tool's result."""
    for index, raw in enumerate(items(content or b"null", where)):
        place = f"{where}[{index}]"
        for name, block in members(raw, place).items():
            if name in _PLAIN_BLOCKS or name == "json":
                continue
            inspect = _BLOCKS.get(name)
            if inspect is not None:
                inspect(block, f"{place}.{name}", seen)
            else:
                why = f"`{shown(name)}` is not a kind of content block known here"
                seen.refuse_unknown("part", f"{place}.{name}", why)


def _inspect_result(block: Raw, where: str, seen: Inspection) -> None:
    _inspect_blocks(members(block, where).get("content"), f"{where}.content", seen)


def _inspect_guarded(block: Raw, where: str, seen: Inspection) -> None:
    """Content marked for a guardrail: without one in `guardrailConfig` it is plain content."""
    if "image" in members(block, where):
        seen.tokens += IMAGE_TOKENS_MAX


def _inspecting_source(tokens: int) -> Callable[[Raw, str, Inspection], None]:
    def inspect(block: Raw, where: str, seen: Inspection) -> None:
        """Where the bytes of an image, a document or a video come from."""
        seen.tokens += tokens
        source = members(block, where).get("source")
        for name in members(source, f"{where}.source") if source is not None else ():
            if name == "s3Location":
                why = "the vendor would fetch it; send its bytes"
                seen.refuse("fetched-content", f"{where}.source.s3Location", why)
            elif name not in ("bytes", "text", "content"):
                why = f"`{shown(name)}` is not a kind of source known here"
                seen.refuse_unknown("part", f"{where}.source.{name}", why)

    return inspect


_Inspect = Callable[[Raw, str, Inspection], None]
_BLOCKS: Final[Mapping[str, _Inspect]] = MappingProxyType(
    {
        "toolResult": _inspect_result,
        "guardContent": _inspect_guarded,
        "image": _inspecting_source(IMAGE_TOKENS_MAX),
        "document": _inspecting_source(DOCUMENT_TOKENS_MAX),
        "video": _inspecting_source(VIDEO_TOKENS_MAX),
        "audio": _inspecting_source(VIDEO_TOKENS_MAX),
    }
)
