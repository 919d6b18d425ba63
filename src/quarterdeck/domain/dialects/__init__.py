"""The wire formats of model vendors, as pure knowledge: bytes in, what they mean out.

`WIRES` has one entry for each dialect a vendor can be declared with; the gateways, the runner and
the tests reach the formats through it. Nothing here does I/O or knows a vendor's address.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from quarterdeck.domain.dialects import anthropic, openai
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
from quarterdeck.domain.fleets import Dialect
from quarterdeck.domain.money import Usage

__all__ = [
    "ALLOWANCES",
    "WIRES",
    "AssistantTurn",
    "ModelRequest",
    "StreamReader",
    "ToolCall",
    "ToolDefinition",
    "ToolTurn",
    "Turn",
    "UserTurn",
    "Wire",
]


class ErrorBody(Protocol):
    """Writes an error in a vendor's envelope."""

    def __call__(self, *, status: int, code: str, message: str, action: str | None) -> bytes:
        """The body of an error response."""


class Compose(Protocol):
    """Writes a request of the built-in runner."""

    def __call__(
        self,
        model: str,
        system: str,
        *,
        messages: Sequence[Turn],
        tools: Iterable[ToolDefinition],
        parameters: Mapping[str, Any],
    ) -> bytes:
        """The body of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """All that is known of one dialect."""

    dialect: Dialect
    #: What a request asks for, under a vendor's `allow`; raises Invalid for unusable bytes.
    peek: Callable[[bytes, frozenset[str]], ModelRequest]
    #: What a whole answer used, and the model that gave it; None if it says neither readably.
    usage_of_answer: Callable[[bytes], tuple[Usage, str] | None]
    #: An error in the vendor's envelope.
    error_body: ErrorBody
    #: Follows one streamed answer.
    open_stream_reader: Callable[[], StreamReader]
    #: Whether an event is the one to withhold from a client who did not ask for usage.
    is_usage_only: Callable[[bytes], bool]
    #: The tool calls a whole answer asks for.
    tool_calls: Callable[[bytes], list[ToolCall]]
    #: The text of a whole answer.
    text_of: Callable[[bytes], str]
    #: The message of a whole answer, as an AssistantTurn carries it.
    message_of: Callable[[bytes], bytes]
    #: A request of the built-in runner.
    compose: Compose


WIRES: Final[Mapping[str, Wire]] = MappingProxyType(
    {
        "openai": Wire(
            dialect="openai",
            peek=openai.peek,
            usage_of_answer=openai.usage_of_answer,
            error_body=openai.error_body,
            open_stream_reader=openai.open_stream_reader,
            is_usage_only=openai.is_usage_only,
            tool_calls=openai.tool_calls,
            text_of=openai.text_of,
            message_of=openai.message_of,
            compose=openai.compose,
        ),
        "anthropic": Wire(
            dialect="anthropic",
            peek=anthropic.peek,
            usage_of_answer=anthropic.usage_of_answer,
            error_body=anthropic.error_body,
            open_stream_reader=anthropic.open_stream_reader,
            is_usage_only=anthropic.is_usage_only,
            tool_calls=anthropic.tool_calls,
            text_of=anthropic.text_of,
            message_of=anthropic.message_of,
            compose=anthropic.compose,
        ),
    }
)
