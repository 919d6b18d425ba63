"""What goes wrong in MCP, as the protocol says it: codes, HTTP statuses, and one envelope.

Our own codes lie outside JSON-RPC's reserved range (-32768 to -32000), as the protocol asks.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson

Id: TypeAlias = str | int

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002  # 2025-11-25 and earlier; since then INVALID_PARAMS
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

#: Ours: an action that a person or a rule must change before it can happen.
REFUSED: Final = -31000
HELD: Final = -31001
SUGGESTED: Final = -31002
IN_DOUBT: Final = -31003
UNIDENTIFIED: Final = -31004
FORBIDDEN: Final = -31005
BUSY: Final = -31006
#: Ours: the server behind a grant did not answer, or answered what is no MCP.
UPSTREAM: Final = -31010

#: Of a whole answer in the stateless era; whatever is not named is 200.
STATUS: Final[Mapping[int, int]] = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
    UNIDENTIFIED: 401,
    FORBIDDEN: 403,
    BUSY: 503,
}
#: The same words for what does not exist and what was not granted: there is no oracle.
NO_TOOL: Final = "Unknown tool"
NO_RESOURCE: Final = "Resource not found"
NO_PROMPT: Final = "Unknown prompt"


class Fault(Exception):
    """One JSON-RPC error, on its way to the client."""

    def __init__(
        self, code: int, message: str, data: Any = None, *, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = STATUS.get(code, 200) if status is None else status

    def body(self, request: Id | None) -> bytes:
        """The whole message; `request` is the id of what it answers, if that could be read."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return orjson.dumps({"jsonrpc": "2.0", "id": request, "error": error})


def unsupported(requested: str, supported: tuple[str, ...]) -> Fault:
    """A version that is not spoken here, and those that are."""
    return Fault(
        UNSUPPORTED_VERSION,
        "Unsupported protocol version",
        {"supported": list(supported), "requested": requested},
    )


def unknown_method(method: str) -> Fault:
    """A method that does not exist in this era, or that nothing granted would answer."""
    return Fault(METHOD_NOT_FOUND, f"Method not found: {method[:100]}")
