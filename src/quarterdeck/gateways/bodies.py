"""Requests of our own data plane: a JSON body in, a JSON body out, failures in the one shape."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import msgspec
import orjson
import structlog

from quarterdeck.domain.errors import Invalid, QuarterdeckError
from quarterdeck.gateways.llm.body import HungUp, Receive, Scope, Send, TooLarge, read_body
from quarterdeck.gateways.llm.errors import TOO_LARGE, Failure, of_error
from quarterdeck.gateways.llm.headers import credential_of

Answering: TypeAlias = Callable[[Scope, bytes], Awaitable[tuple[int, dict[str, Any]]]]
#: Whose run a credential is of; raises Unidentified for nobody's.
Identify: TypeAlias = Callable[[str], Awaitable[object]]
_INTERNAL: Final = Failure(
    status=500, code="internal", message="something went wrong that should not have"
)
_log = structlog.get_logger("gateway")
_JSON: Final = (b"content-type", b"application/json")
_BEARER: Final = (b"www-authenticate", b"Bearer")


async def answered(
    scope: Scope, receive: Receive, send: Send, act: Answering, identify: Identify
) -> None:
    """Serve one request: what `act` answers, or what went wrong."""
    headers = [_JSON]
    try:
        status, body = await act(scope, await read_body(scope, receive))
    except HungUp:
        return
    except TooLarge:
        status, body = 413, _error(TOO_LARGE)
    except QuarterdeckError as raised:
        error = await _to_tell(raised, scope, identify)
        failure = of_error(error)
        status, body = failure.status, _error(failure)  # its own words name no place
        if status < 500:
            body = _error(failure, hint=error.hint, message=error.message)
        if status == 401:
            headers.append(_BEARER)
    except Exception:  # noqa: BLE001  at the edge: the one shape, and the log says why
        _log.exception("request_failed", method=scope["method"], path=scope["path"])
        status, body = 500, _error(_INTERNAL, hint="look in the server's log")
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(body)})


async def _to_tell(error: QuarterdeckError, scope: Scope, identify: Identify) -> QuarterdeckError:
    """What does not fit is told to who is known; a stranger is told that they are one."""
    if isinstance(error, Invalid):
        try:
            await identify(credential_of(scope))
        except QuarterdeckError as other:
            return other
    return error


def parsed(body: bytes, kind: Any) -> Any:
    """A body as one of ours; unknown fields are refused."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), hint=f"send {', '.join(kind.__struct_fields__)}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}", hint="send a JSON object") from error


def _error(failure: Failure, *, hint: str = "", message: str = "") -> dict[str, Any]:
    return {"error": {"code": failure.code, "message": message or failure.message, "hint": hint}}
