"""The answer of an HTTP operation as a receipt: a JSON value, or why there is none. Pure."""

from typing import Any, Final

import msgspec
import orjson

from quarterdeck.domain.actions import Receipt
from quarterdeck.domain.json_text import is_json
from quarterdeck.domain.limits import TOOL_RESULT_BYTES_MAX
from quarterdeck.domain.tools import Tool
from quarterdeck.upstream.tools.receipts import done, failed

_CHARSETS: Final = frozenset(("", "utf-8", "utf8", "us-ascii", "ascii"))
_LATIN: Final = frozenset(("iso-8859-1", "latin1", "latin-1", "windows-1252"))


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered, as far as it was read."""

    status: int
    content_type: str
    encoding: str
    body: bytes
    is_whole: bool


def receipt_of(tool: Tool, answer: HttpAnswer, detail: dict[str, Any]) -> Receipt:
    """2xx is done, with its body as the result; anything else failed, in the server's own words."""
    said = f"the server answered {answer.status}"
    if not 200 <= answer.status < 300:
        if 300 <= answer.status < 400:
            return failed(tool, f"{said}, and redirects are not followed", detail=detail)
        return failed(tool, said, detail=detail, result=_error(answer, said))
    if not answer.is_whole:
        most = f"more than {TOOL_RESULT_BYTES_MAX} bytes"
        return failed(tool, f"{said} with {most}: it was carried out", detail=detail)
    value = _json(answer)
    if value is None:
        kind = "".join(c for c in answer.content_type if c.isprintable()) or "no content type"
        because = f"{said} with what is neither JSON nor text ({kind[:80]}): it was carried out"
        return failed(tool, because, detail=detail)
    return done(tool, value, detail)


def _error(answer: HttpAnswer, said: str) -> bytes:
    """An error as the agent is told it: status, and the body where it can be shown."""
    value = _json(answer) or b"null"
    return orjson.dumps({"error": said, "status": answer.status, "answer": orjson.Fragment(value)})


def _json(answer: HttpAnswer) -> bytes | None:
    """The body as JSON: JSON as it came, text as a JSON string, nothing as null."""
    if answer.encoding.strip().lower() not in ("", "identity"):
        return None
    if not answer.body.strip():
        return b"null"
    kind, _, parameters = answer.content_type.lower().partition(";")
    kind = kind.strip()
    if kind in ("", "application/json") or kind.endswith("+json"):
        if answer.is_whole:
            return answer.body if is_json(answer.body) else None
        return _text(answer, parameters)
    if kind.startswith("text/") or kind in ("application/xml", "application/x-ndjson"):
        return _text(answer, parameters)
    return None


def _text(answer: HttpAnswer, parameters: str) -> bytes | None:
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    if charset in _CHARSETS:
        # What was cut off in the middle of a character loses that character, and no more.
        errors = "strict" if answer.is_whole else "ignore"
    elif charset in _LATIN:
        return orjson.dumps(answer.body.decode("cp1252", "replace"))
    else:
        return None
    try:
        return orjson.dumps(answer.body.decode("utf-8", errors))
    except UnicodeDecodeError:
        return None
