"""The wire formats of model vendors, as pure knowledge: bytes in, what they mean out.

`WIRES` has one entry for each format a route takes; the gateways, `upstream/`, the runner and the
tests reach the formats through it. Nothing here does I/O or knows a vendor's address.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from quarterdeck.domain.actions import Address
from quarterdeck.domain.dialects import (
    anthropic,
    bedrock,
    bedrock_answer,
    gemini,
    gemini_answer,
    openai,
    openai_completions,
    openai_embeddings,
    openai_responses,
    openai_responses_answer,
    paths,
)
from quarterdeck.domain.dialects.refusals import ALLOWANCES
from quarterdeck.domain.dialects.request import ModelRequest
from quarterdeck.domain.dialects.stream import StreamReader
from quarterdeck.domain.dialects.turns import (
    AssistantTurn,
    ToolCall,
    ToolDefinition,
    ToolTurn,
    Turn,
    UserTurn,
)
from quarterdeck.domain.dialects.wire import SpokenWire, Wire
from quarterdeck.domain.fleets import Dialect

__all__ = [
    "ALLOWANCES",
    "SPOKEN",
    "WIRES",
    "AssistantTurn",
    "ModelRequest",
    "SpokenWire",
    "StreamReader",
    "ToolCall",
    "ToolDefinition",
    "ToolTurn",
    "Turn",
    "UserTurn",
    "Wire",
    "path_of",
]

_OPENAI_CHAT: Final = SpokenWire(
    name="openai-chat",
    dialect="openai",
    path=paths.openai("/chat/completions"),
    peek=openai.peek,
    usage_of_answer=openai.usage_of_answer,
    error_body=openai.error_body,
    open_stream_reader=openai.open_stream_reader,
    is_usage_only=openai.is_usage_only,
    tool_calls=openai.tool_calls,
    text_of=openai.text_of,
    message_of=openai.message_of,
    compose=openai.compose,
)
_ANTHROPIC_MESSAGES: Final = SpokenWire(
    name="anthropic-messages",
    dialect="anthropic",
    path=paths.anthropic("/messages"),
    peek=anthropic.peek,
    usage_of_answer=anthropic.usage_of_answer,
    error_body=anthropic.error_body,
    open_stream_reader=anthropic.open_stream_reader,
    tool_calls=anthropic.tool_calls,
    text_of=anthropic.text_of,
    message_of=anthropic.message_of,
    compose=anthropic.compose,
)
_OPENAI_RESPONSES: Final = Wire(
    name="openai-responses",
    dialect="openai",
    path=paths.openai("/responses"),
    peek=openai_responses.peek,
    usage_of_answer=openai_responses_answer.usage_of_answer,
    error_body=openai.error_body,
    open_stream_reader=openai_responses_answer.open_stream_reader,
)
_OPENAI_EMBEDDINGS: Final = Wire(
    name="openai-embeddings",
    dialect="openai",
    path=paths.openai("/embeddings"),
    peek=openai_embeddings.peek,
    usage_of_answer=openai.usage_of_answer,
    error_body=openai.error_body,
)
_OPENAI_COMPLETIONS: Final = Wire(
    name="openai-completions",
    dialect="openai",
    path=paths.openai("/completions"),
    peek=openai_completions.peek,
    usage_of_answer=openai.usage_of_answer,
    error_body=openai.error_body,
    open_stream_reader=openai_completions.open_stream_reader,
    is_usage_only=openai.is_usage_only,
)
_ANTHROPIC_COUNT: Final = Wire(
    name="anthropic-count-tokens",
    dialect="anthropic",
    path=paths.anthropic("/messages/count_tokens"),
    peek=anthropic.peek_to_count,
    usage_of_answer=anthropic.usage_of_answer,
    error_body=anthropic.error_body,
    free=True,
)
_GEMINI_GENERATE: Final = SpokenWire(
    name="gemini-generate",
    dialect="gemini",
    path=paths.gemini("generateContent", "streamGenerateContent"),
    peek=gemini.peek,
    usage_of_answer=gemini_answer.usage_of_answer,
    error_body=gemini_answer.error_body,
    open_stream_reader=gemini_answer.open_stream_reader,
    open_list_reader=gemini_answer.open_list_reader,
    tool_calls=gemini_answer.tool_calls,
    text_of=gemini_answer.text_of,
    message_of=gemini_answer.message_of,
    compose=gemini_answer.compose,
)
_GEMINI_COUNT: Final = Wire(
    name="gemini-count-tokens",
    dialect="gemini",
    path=paths.gemini("countTokens"),
    peek=gemini.peek_to_count,
    usage_of_answer=gemini_answer.usage_of_answer,
    error_body=gemini_answer.error_body,
    free=True,
)
_BEDROCK_CONVERSE: Final = SpokenWire(
    name="bedrock-converse",
    dialect="bedrock",
    path=paths.bedrock("converse", "converse-stream"),
    peek=bedrock.peek_converse,
    usage_of_answer=bedrock_answer.usage_of_answer,
    error_body=bedrock_answer.error_body,
    open_stream_reader=bedrock_answer.open_stream_reader,
    budget_status=400,
    tool_calls=bedrock_answer.tool_calls,
    text_of=bedrock_answer.text_of,
    message_of=bedrock_answer.message_of,
    compose=bedrock_answer.compose,
)
_BEDROCK_INVOKE: Final = Wire(
    name="bedrock-invoke",
    dialect="bedrock",
    path=paths.bedrock("invoke", "invoke-with-response-stream"),
    peek=bedrock.peek_invoke,
    usage_of_answer=anthropic.usage_of_answer,
    error_body=bedrock_answer.error_body,
    open_stream_reader=bedrock_answer.open_invoke_reader,
    budget_status=400,
)


def _at_azure(wire: Wire, name: str, path: paths.Path) -> Wire:
    """The same format at one of Azure's own addresses."""
    fields = {field: getattr(wire, field) for field in Wire.__dataclass_fields__}
    return Wire(**fields | {"name": name, "dialect": "azure", "path": path})


_ALL: Final[tuple[Wire, ...]] = (
    _OPENAI_CHAT,
    _OPENAI_RESPONSES,
    _OPENAI_EMBEDDINGS,
    _OPENAI_COMPLETIONS,
    _at_azure(_OPENAI_CHAT, "azure-chat", paths.azure_deployment("/chat/completions")),
    _at_azure(_OPENAI_EMBEDDINGS, "azure-embeddings", paths.azure_deployment("/embeddings")),
    _at_azure(_OPENAI_COMPLETIONS, "azure-completions", paths.azure_deployment("/completions")),
    _at_azure(_OPENAI_RESPONSES, "azure-responses", paths.azure("/responses")),
    _ANTHROPIC_MESSAGES,
    _ANTHROPIC_COUNT,
    _GEMINI_GENERATE,
    _GEMINI_COUNT,
    _BEDROCK_CONVERSE,
    _BEDROCK_INVOKE,
)

#: Every wire by its name.
WIRES: Final[Mapping[str, Wire]] = MappingProxyType({wire.name: wire for wire in _ALL})

#: What the built-in runner speaks to a vendor of each dialect.
SPOKEN: Final[Mapping[Dialect, SpokenWire]] = MappingProxyType(
    {
        "openai": _OPENAI_CHAT,
        "azure": _OPENAI_CHAT,
        "anthropic": _ANTHROPIC_MESSAGES,
        "gemini": _GEMINI_GENERATE,
        "bedrock": _BEDROCK_CONVERSE,
    }
)


def path_of(vendor: Dialect, address: Address) -> str:
    """The path and query of a call below the base URL of a vendor of this dialect."""
    return WIRES[address.wire].path(vendor, address)
