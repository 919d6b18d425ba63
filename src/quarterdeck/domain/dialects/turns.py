"""A conversation as the built-in runner holds it, in no vendor's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTurn:
    """What the task or a person says."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantTurn:
    """What the model said: its message as the dialect's `message_of` took it from the answer."""

    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTurn:
    """What came of one tool call."""

    call_id: str
    name: str
    content: str
    failed: bool = False


Turn: TypeAlias = UserTurn | AssistantTurn | ToolTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A tool as a model is told of it; `arguments` is the JSON Schema of what it takes."""

    name: str
    description: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call the model asks for. `arguments` are JSON, as the model wrote them: not yet checked."""

    id: str
    name: str
    arguments: bytes
