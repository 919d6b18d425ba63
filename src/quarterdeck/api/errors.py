"""One table from errors to HTTP, and one shape for all of them.

Whatever goes wrong, the body is `{"error": {"code", "message", "hint"}}`: for our own errors, for
routes that do not exist, for bodies that do not fit and for what nobody expected.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.limits import BODY_BYTES_MAX

STATUS: Final[Mapping[str, int]] = {
    "invalid": 400,
    "unidentified": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "precondition_failed": 412,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "precondition_required": 428,
    "limit_exceeded": 429,
    "corrupt": 500,
    "internal": 500,
    "unavailable": 503,
}
_CODES: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
PROBLEMS_SHOWN_MAX: Final = 5
_SEE_SCHEMA: Final = "see the route at /v1/openapi.json"


def answer(
    code: str, message: str, hint: str, *, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The one error shape."""
    body = {"error": {"code": code, "message": message, "hint": hint}}
    return JSONResponse(body, status_code=STATUS[code], headers=headers)


def too_large() -> JSONResponse:
    """A body beyond the limit."""
    mebibytes = BODY_BYTES_MAX // 1024 // 1024
    return answer(
        "body_too_large", f"the request body is larger than {mebibytes} MiB", "send less at once"
    )


def internal() -> JSONResponse:
    """Something nobody expected; what it was is in the server's log, never in the answer."""
    return answer(
        "internal",
        "something went wrong that should not have",
        "look in the server's log, or run: quarterdeck doctor",
    )


async def on_ours(_: Request, error: Exception) -> JSONResponse:
    """An operating error, by the table."""
    assert isinstance(error, QuarterdeckError)
    extra = {"www-authenticate": "Bearer"} if error.code == "unidentified" else None
    return answer(error.code, error.message, error.hint, headers=extra)


async def on_http(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such route, another method, a body it cannot read."""
    assert isinstance(error, HTTPException)
    route = f"{request.method} {request.url.path}"
    code = _CODES.get(error.status_code, "invalid")
    if code == "not_found" and len(_methods(request)) > 1:
        code = "method_not_allowed"  # of a path that only the data plane has
    if code == "body_too_large":
        return too_large()
    if code == "not_found":
        return answer(code, f"no route `{route}`", "all routes are listed at /v1/openapi.json")
    if code == "method_not_allowed":
        allowed = ", ".join(_methods(request))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": allowed})
        return answer(code, f"no route `{route}`", f"use {allowed}", headers={"allow": allowed})
    if code == "unsupported_media_type":
        return answer(code, "the request body is not JSON", "send content-type: application/json")
    return answer(code, "the request body cannot be read", "send a JSON object")


def _methods(request: Request) -> list[str]:
    """The methods that a path has in this process; HEAD goes wherever GET does."""
    path, found = request.url.path, {"OPTIONS"}
    for template, methods in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found |= {m.upper() for m, one in methods.items() if "servers" not in one}
    return sorted(found | {"HEAD"} if "GET" in found else found)


async def on_misfit(_: Request, error: Exception) -> JSONResponse:
    """A request that does not fit its schema: each field, and what to write instead."""
    assert isinstance(error, RequestValidationError)
    found = list(error.errors())
    said = [_problem(one) for one in found[:PROBLEMS_SHOWN_MAX]]
    message = "; ".join(dict.fromkeys(what for what, _ in said))
    if left := len(found) - len(said):
        message += f"; and {left} more"
    hint = "; ".join(dict.fromkeys(hint for _, hint in said))
    return answer("invalid", message, hint)


def _problem(error: Mapping[str, Any]) -> tuple[str, str]:
    """One misfit in words. The value itself is not repeated: it may be a secret."""
    kind, context = error["type"], error.get("ctx", {})
    field = _field(error["loc"])
    if kind == "json_invalid":
        return f"the body is not JSON: {context.get('error', '')}", "send a JSON object"
    if not field:
        return "the body is not a JSON object", "send one, with content-type: application/json"
    if kind == "missing":
        return f"`{field}` is missing", f"give `{field}`"
    if error["loc"][0] == "query" and kind == "extra_forbidden":
        return f"`{field}` is not a parameter of this route", f"leave `{field}` out"
    if kind == "extra_forbidden":
        return f"`{field}` is not a field of this request", f"leave `{field}` out"
    if kind == "string_pattern_mismatch" and field == "file":
        return f"`{field}` is not an absolute path", "write it from the root: /…"
    if kind == "given_twice":
        return f"`{field}` is given twice", f"give `{field}` once"
    if kind == "literal_error":
        return f"`{field}` is not one of its words", f"write {context.get('expected')}"
    message = str(error["msg"])
    return f"`{field}`: {message[:1].lower()}{message[1:]}", _SEE_SCHEMA


def _field(location: Iterable[str | int]) -> str:
    """`input.items[2]`, without the part of the request it was in."""
    text = ""
    for step in list(location)[1:]:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return "".join(c if c.isprintable() else "?" for c in text.replace("`", "?"))[:100]
