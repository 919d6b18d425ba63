"""What a model is asked and what it answers, free of any vendor's dialect.

`openai_wire` and `anthropic_wire` read requests into a Conversation and write an Answer out again.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Finish: TypeAlias = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool; `arguments` is JSON text. An empty id lets the dialect make one."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message. `call_id` says which call a tool's result answers."""

    role: Role
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTool:
    """A tool the caller offers; `definition` is its compact JSON, as it is counted."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A whole request: who said what, what may be called, how to answer."""

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[OfferedTool, ...] = ()
    streamed: bool = False
    usage_wanted: bool = True
    output_tokens_max: int | None = None

    @property
    def system(self) -> str:
        """All that the system said, joined by empty lines."""
        return "\n\n".join(turn.text for turn in self.turns if turn.role == "system")

    def offers(self, *names: str) -> bool:
        """Whether every one of these tools may be called."""
        return set(names) <= {tool.name for tool in self.tools}

    def find_tool(self, name: str) -> str | None:
        """The offered tool of this name, or the one whose last part it is: `desk__look_up`."""
        offered = [tool.name for tool in self.tools]
        if name in offered:
            return name
        return next((o for o in offered if o.endswith((f"__{name}", f"-{name}", f".{name}"))), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that went in and came out."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says: text, calls, or both; `deltas` is how the text is cut for a stream."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    deltas: tuple[str, ...] | None = None
    finish: Finish | None = None
    usage: Usage | None = None
    delay_seconds: float = 0.0

    @property
    def ending(self) -> Finish:
        """Why the answer ends here."""
        return self.finish or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error a vendor would answer with, put into its own envelope."""

    status: int
    kind: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes to send after a delay."""

    body: bytes
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReply:
    """A reply given byte by byte. `bare` leaves HTTP out of it."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[Piece, ...] = ()
    bare: bool = False
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """How a reply is played: what it is, how long it waits first, and whether it breaks off."""

    reply: Answer | Failure | RawReply
    wait_seconds: float = 0.0
    cut_after_bytes: int | None = None
    stall_after_bytes: int | None = None
    cut: bool = False
    stall_seconds: float = field(default=0.0)
