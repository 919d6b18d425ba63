"""One request on its way: who asked what, and how to answer. Every method takes one."""

from dataclasses import dataclass

from quarterdeck.domain.dialects.request import Members
from quarterdeck.domain.mcp.errors import Id
from quarterdeck.domain.mcp.headers import Told
from quarterdeck.domain.mcp.messages import META_APPROVAL, META_KEY, text_of
from quarterdeck.gateways.mcp.answering import Answering
from quarterdeck.gateways.mcp.callers import McpCaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request, read as far as its method needs."""

    caller: McpCaller
    id: Id
    method: str
    params: Members
    meta: Members
    told: Told
    out: Answering
    key: str | None = None
    approval: str | None = None

    def idempotency_key(self) -> str | None:
        """What makes a repeat of it harmless, from its `_meta` or a header."""
        return text_of(self.meta, META_KEY) or self.key

    def approval_id(self) -> str | None:
        """The approval it names, from its `_meta` or a header."""
        return text_of(self.meta, META_APPROVAL) or self.approval


@dataclass(frozen=True, slots=True)
class Answer:
    """A raw result, and the action it came of, where there was one."""

    result: bytes
    action: str | None = None
