"""What is asked of an MCP server on behalf of an agent, and what comes back, as raw JSON.

An exchange is one request and its answer; before the answer the server may say things on the same
stream, and in the handshake era ask things back. Members are raw: nothing is rebuilt on the way.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from quarterdeck.domain.mcp.versions import Era

NOTHING: Final[Mapping[str, msgspec.Raw]] = {}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a server, apart from what only the clearance may say.

    Which tool, resource or prompt is meant, and its arguments, are taken from the cleared action,
    never from here. `more` holds the other members of `params` (`inputResponses`, `requestState`,
    of a completion `argument` and `context`), `meta` those of `_meta` that are the caller's own
    (`progressToken`); the protocol's own are written anew. `capabilities` (a raw object) is what
    the server is told that it may ask back. `seconds` is how long it may take: what the contract
    says where it is 0, without end where it is None. `era` is what a server that speaks both is
    spoken to in: the caller's own, so that it may ask back in the way the caller can answer.
    """

    method: str = "tools/call"
    more: Mapping[str, msgspec.Raw] = NOTHING
    meta: Mapping[str, msgspec.Raw] = NOTHING
    capabilities: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    seconds: int | None = 0
    era: Era | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says before its answer: a notification, or a request of its own.

    `params` is a raw object; a progress token in it is the caller's again.
    """

    method: str
    params: bytes = b"{}"
    is_request: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a server's own request is answered with: a raw result, or a raw error object."""

    result: bytes | None = None
    error: bytes | None = None


#: Told of each thing said, in order; what it returns answers a request. Raising ends the exchange.
OnSaid: TypeAlias = Callable[[Said], Awaitable[Reply | None]]
