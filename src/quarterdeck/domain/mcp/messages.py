"""JSON-RPC messages, parsed once: what is read is decoded, the rest stays the bytes it came in.

Parsers disagree about a name that is repeated, so a server could act on another value than the one
judged here: such messages are refused, at any depth of what decides something.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain.dialects.request import Members, members, shown
from quarterdeck.domain.dialects.request import check as check_shape
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import MCP_ID_CHARACTERS_MAX, MCP_METHOD_CHARACTERS_MAX
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Fault, Id

META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"
#: Ours: a key that makes a repeat harmless, and an approval somebody gave.
META_KEY: Final = "dev.quarterdeck/idempotency-key"
META_APPROVAL: Final = "dev.quarterdeck/approval"
META_ACTION: Final = "dev.quarterdeck/action"

Kind: TypeAlias = Literal["request", "notification", "response"]
_TEXT: Final = msgspec.json.Decoder(str)
_ID: Final = msgspec.json.Decoder(str | int)
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_KNOWN: Final = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
_NOTHING: Final = Raw(b"")
_EMPTY: Final[Members] = {}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message: a request has a method and an id, a notification no id, a response no method."""

    kind: Kind
    id: Id | None = None
    method: str = ""
    #: As it came; empty if there is none.
    params: Raw = _NOTHING
    result: Raw = _NOTHING
    error: Raw = _NOTHING

    def members(self) -> Members:
        """The members of its params as raw bytes; raises Fault where they are no object."""
        return object_of(self.params, "params")

    def written(self) -> bytes:
        """It as bytes again."""
        said: dict[str, Raw | bytes] = {"jsonrpc": b'"2.0"'}
        if self.id is not None:
            said["id"] = orjson.dumps(self.id)
        if self.method:
            said["method"] = orjson.dumps(self.method)
        raw = {"params": self.params, "result": self.result, "error": self.error}
        return joined(said | {name: value for name, value in raw.items() if len(value)})


def parse(body: bytes) -> Message:
    """The one message a body holds; raises Fault. Batches are refused: no era here has them."""
    try:
        if body[:64].lstrip()[:1] == b"[":
            raise Fault(INVALID_REQUEST, "Send one message at a time: batches are not served")
        fields = members(body, "the message")
        check_shape(body, fields, ())
    except Invalid as error:
        raise _unreadable(error) from error
    return _message(fields)


def _unreadable(error: Invalid) -> Fault:
    """JSON that is none, and JSON that is no message, are told apart by the protocol."""
    is_json = "not valid JSON" not in error.message and "not UTF-8" not in error.message
    code = INVALID_REQUEST if is_json else PARSE_ERROR
    return Fault(code, f"{error.message}; {error.hint}" if error.hint else error.message)


def _message(fields: Members) -> Message:
    if bytes(fields.get("jsonrpc", _NOTHING)) != b'"2.0"':
        raise Fault(INVALID_REQUEST, 'The message is not JSON-RPC: set "jsonrpc" to "2.0"')
    request = id_of(fields["id"]) if "id" in fields else None
    if unknown := fields.keys() - _KNOWN:
        name = shown(sorted(unknown)[0])
        raise Fault(INVALID_REQUEST, f"A JSON-RPC message has no member `{name}`")
    if "method" not in fields:
        return _response(fields, request)
    if "result" in fields or "error" in fields:
        raise Fault(INVALID_REQUEST, "A message is a request or a response, not both")
    method = _text(fields["method"])
    if method is None or not 1 <= len(method) <= MCP_METHOD_CHARACTERS_MAX:
        raise Fault(INVALID_REQUEST, "The method is not a name")
    return Message(
        kind="notification" if request is None else "request",
        id=request,
        method=method,
        params=fields.get("params", _NOTHING),
    )


def _response(fields: Members, request: Id | None) -> Message:
    if request is None or ("result" in fields) == ("error" in fields) or "params" in fields:
        raise Fault(INVALID_REQUEST, "A response has an id, and a result or an error")
    return Message(
        kind="response",
        id=request,
        result=fields.get("result", _NOTHING),
        error=fields.get("error", _NOTHING),
    )


def id_of(raw: Raw) -> Id:
    """A request's id: a text or a whole number of sensible size, never null."""
    try:
        found: Id = _ID.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Fault(INVALID_REQUEST, "An id is a text or a whole number") from None
    if len(str(found)) > MCP_ID_CHARACTERS_MAX:
        raise Fault(INVALID_REQUEST, f"An id has at most {MCP_ID_CHARACTERS_MAX} characters")
    return found


def object_of(raw: Raw | None, where: str) -> Members:
    """The members of an object as raw bytes, each name once; none if it is absent."""
    if raw is None or not len(raw):
        return _EMPTY
    try:
        return members(raw, where)
    except Invalid as error:
        raise Fault(INVALID_PARAMS, error.message) from error


def text_of(found: Members, name: str) -> str | None:
    """A member that is a text; None if it is absent, and a Fault if it is anything else."""
    raw = found.get(name)
    if raw is None:
        return None
    text = _text(raw)
    if text is None:
        raise Fault(INVALID_PARAMS, f"`{name}` is not a text")
    return text


def _text(raw: Raw) -> str | None:
    try:
        return _TEXT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def plain(raw: Raw | bytes, where: str) -> Any:
    """A value as Python has it; raises Fault where a name is repeated, however deep."""
    source = bytes(raw)
    try:
        value = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise Fault(INVALID_PARAMS, f"{where} cannot be read: {error}") from error
    # Each member has one colon. Colons in strings spoil only the quick count.
    count = _members_in(value)
    if source.count(b":") != count and _STRING.sub(b"", source).count(b":") != count:
        raise Fault(INVALID_PARAMS, f"{where} names a field twice")
    return value


def _members_in(value: Any) -> int:
    count, left = 0, [value]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            count += len(found)
            left.extend(found.values())
        elif isinstance(found, list):
            left.extend(found)
    return count


def request(number: Id, method: str, params: Mapping[str, Raw | bytes]) -> bytes:
    """A request whose params are given as raw JSON, member by member."""
    return _written({"id": orjson.dumps(number), "method": orjson.dumps(method)}, params)


def notification(method: str, params: Mapping[str, Raw | bytes]) -> bytes:
    """A notification."""
    return _written({"method": orjson.dumps(method)}, params)


def _written(head: Mapping[str, bytes], params: Mapping[str, Raw | bytes]) -> bytes:
    begun = {"jsonrpc": b'"2.0"', **head}
    return joined(begun | {"params": joined(params)} if params else begun)


def response(number: Id | None, result: Raw | bytes) -> bytes:
    """The answer to a request: its result as it is."""
    return b'{"jsonrpc":"2.0","id":' + orjson.dumps(number) + b',"result":' + bytes(result) + b"}"


def joined(found: Mapping[str, Raw | bytes]) -> bytes:
    """An object of members that are raw JSON already."""
    return b"{" + b",".join(orjson.dumps(n) + b":" + bytes(v) for n, v in found.items()) + b"}"
