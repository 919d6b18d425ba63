"""What is known of one wire: a format of requests and answers, as one route of ours takes it.

A wire is reached at one dialect's route; vendors that take its requests as they are may be of
another dialect (Azure serves OpenAI's formats), so it is the wire that knows the path at each.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quarterdeck.domain.actions import Address
from quarterdeck.domain.dialects.request import IN_BODY, ModelRequest
from quarterdeck.domain.dialects.stream import StreamReader
from quarterdeck.domain.dialects.turns import ToolCall, ToolDefinition, Turn
from quarterdeck.domain.fleets import Dialect
from quarterdeck.domain.money import Usage


class Peek(Protocol):
    """Reads what a request asks for, under a vendor's `allow`; raises Invalid for what it cannot.

    `at` is what the request's own URL says, for wires whose bodies do not say it.
    """

    def __call__(
        self, body: bytes, allow: frozenset[str], at: Address = IN_BODY
    ) -> ModelRequest: ...


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
    """All a gateway asks of one wire."""

    name: str
    #: Whose route it is on, and so whose error envelope it has.
    dialect: Dialect
    #: The path and query below the base URL of a vendor of this dialect.
    path: Callable[[Dialect, Address], str]
    #: What a request asks for, and what in it is refused.
    peek: Peek
    #: What a whole answer used, and the model that gave it; None if it says neither readably.
    usage_of_answer: Callable[[bytes], tuple[Usage, str] | None]
    #: An error in the vendor's envelope.
    error_body: ErrorBody
    #: Follows one streamed answer; None where no answer is streamed.
    open_stream_reader: Callable[[], StreamReader] | None = None
    #: The same for a stream that is one JSON list (Gemini's, unless asked for events).
    open_list_reader: Callable[[], StreamReader] | None = None
    #: Whether an event is the one to withhold from a client who did not ask for usage.
    is_usage_only: Callable[[bytes], bool] | None = None
    #: Calls cost nothing at the vendor and are recorded with no tokens (counting them).
    free: bool = False
    #: The status that says a budget is spent, chosen so that the vendor's SDK does not try again.
    budget_status: int = 429

    def reader_of(self, start: bytes, content_type: str, *, streamed: bool) -> StreamReader | None:
        """What follows an answer that begins so; None if it comes whole.

        Told by its first byte before its content type: vendors label streams in many ways.
        """
        first = start.lstrip()[:1]
        if first == b"[" and streamed and self.open_list_reader is not None:
            return self.open_list_reader()
        stream = content_type.startswith(("text/event-stream", "application/vnd.amazon.event"))
        if self.open_stream_reader is None or first in (b"{", b"[") or not (stream or streamed):
            return None
        return self.open_stream_reader()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenWire(Wire):
    """A wire the built-in runner speaks by itself."""

    #: The tool calls a whole answer asks for.
    tool_calls: Callable[[bytes], list[ToolCall]]
    #: The text of a whole answer.
    text_of: Callable[[bytes], str]
    #: The message of a whole answer, as an AssistantTurn carries it.
    message_of: Callable[[bytes], bytes]
    #: A request of the built-in runner.
    compose: Compose
