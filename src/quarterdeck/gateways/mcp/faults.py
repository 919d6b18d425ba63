"""Operating errors as the protocol says them, and the HTTP status of each."""

import traceback
from typing import Final

import structlog

from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.mcp import errors
from quarterdeck.domain.mcp.errors import Fault
from quarterdeck.gateways.llm.errors import of_error

_log = structlog.get_logger("gateway")
TRACE_CHARACTERS: Final = 4000
_CODE: Final = {
    "invalid": errors.INVALID_PARAMS,
    "unidentified": errors.UNIDENTIFIED,
    "forbidden": errors.FORBIDDEN,
    "not_found": errors.INVALID_PARAMS,
    "conflict": errors.IN_DOUBT,
    "limit_exceeded": errors.BUSY,
    "unavailable": errors.BUSY,
}
#: What a session answers within HTTP's 200: the message was understood, its method was not.
_WITHIN: Final = frozenset((errors.INVALID_PARAMS, errors.METHOD_NOT_FOUND))


def fault_of(error: Exception) -> Fault:
    """Whatever broke, as a client is told it; what names a place of ours is said to the log."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, QuarterdeckError):
        return Fault(_CODE.get(error.code, errors.INTERNAL_ERROR), of_error(error).message)
    # The lines alone: what stood in the variables is nobody's to read.
    lines = "".join(traceback.format_exception(error))
    _log.error("mcp_request_failed", error=type(error).__name__, trace=lines[-TRACE_CHARACTERS:])
    return Fault(errors.INTERNAL_ERROR, "Something broke here: the log says what", status=500)


def status_of(fault: Fault, *, modern: bool) -> int:
    """The status of an error that answers a whole request."""
    return 200 if not modern and fault.code in _WITHIN else fault.status
