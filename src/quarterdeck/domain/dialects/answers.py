"""What both dialects share in reading an answer, and in telling a client that there is none."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeAlias

import msgspec

from quarterdeck.domain.dialects.request import UNREADABLE
from quarterdeck.domain.errors import Invalid

Tokens: TypeAlias = int | None

_KINDS: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ANY: Final = msgspec.json.Decoder()


def parsed(raw: bytes | msgspec.Raw) -> Any:
    """Any JSON, of which nothing depends but what is shown; None where it cannot be read."""
    try:
        return _ANY.decode(raw)
    except UNREADABLE:
        return None


def error_kind(status: int) -> str:
    """What vendors call an error of this status."""
    return _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")


def named(message: str, action: str | None) -> str:
    """The message, naming the action it is about: often all that reaches a log."""
    return message if action is None or action in message else f"{message} (action {action})"


def error_text(raw: msgspec.Raw) -> str:
    """The error a stream reports, in the vendor's words."""
    error = parsed(raw)
    if not isinstance(error, dict):
        return str(error)
    kind = error.get("type") or error.get("status") or error.get("code")
    message = error.get("message")
    return ": ".join(str(part) for part in (kind, message) if part) or str(error)


def at_least_zero(tokens: Tokens) -> int:
    """A count as it can be charged: a vendor that reports less than nothing reports nothing."""
    return tokens if tokens is not None and tokens > 0 else 0


def refuse_answer(dialect: str, error: Exception) -> NoReturn:
    """Say that bytes are not an answer of this dialect."""
    hint = "check the vendor's `dialect` and `base_url` in fleet.yaml"
    raise Invalid(f"the model's answer is not {dialect}", hint=hint) from error


def merged(parameters: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    """The runner's own fields and the agent's parameters, which may not replace them."""
    if both := sorted(parameters.keys() & (taken.keys() | {"stream"})):
        raise Invalid(
            f"the model's parameters set `{both[0]}`", hint="the runner sets it: leave it out"
        )
    return {**taken, **parameters}
