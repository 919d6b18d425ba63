"""Requests of our own data plane: a JSON body in, a JSON body out, failures in the one shape."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
import orjson

from quarterdeck.domain.errors import Invalid, QuarterdeckError
from quarterdeck.gateways.llm.body import HungUp, Receive, Scope, Send, TooLarge, read_body
from quarterdeck.gateways.llm.errors import TOO_LARGE, Failure, of_error

Answering: TypeAlias = Callable[[Scope, bytes], Awaitable[tuple[int, dict[str, Any]]]]


async def answered(scope: Scope, receive: Receive, send: Send, act: Answering) -> None:
    """Serve one request: what `act` answers, or what went wrong."""
    try:
        status, body = await act(scope, await read_body(scope, receive))
    except HungUp:
        return
    except TooLarge:
        status, body = 413, _error(TOO_LARGE)
    except QuarterdeckError as error:
        failure = of_error(error)
        status, body = failure.status, _error(failure)  # its own words name no place
        if status < 500:
            body = _error(failure, hint=error.hint, message=error.message)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": orjson.dumps(body)})


def parsed(body: bytes, kind: Any) -> Any:
    """A body as one of ours; unknown fields are refused."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), hint=f"send {', '.join(kind.__struct_fields__)}") from error
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not JSON: {error}", hint="send a JSON object") from error


def _error(failure: Failure, *, hint: str = "", message: str = "") -> dict[str, Any]:
    return {"error": {"code": failure.code, "message": message or failure.message, "hint": hint}}
