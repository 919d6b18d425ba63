"""Exchanges with a server as messages: how a request is written, and what an incoming line is.

Bytes of arguments and results pass as they are; a message is decoded once, to its first level.
What a server sends is looked at before it is believed: UTF-8, depth, and whose answer it is.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw

from quarterdeck import __version__
from quarterdeck.domain.limits import ERROR_CHARACTERS_MAX, JSON_DEPTH_MAX, SLICE_BYTES
from quarterdeck.domain.mcp.asks import NOTHING, Reply
from quarterdeck.domain.mcp.errors import UNSUPPORTED_VERSION
from quarterdeck.domain.mcp.headers import NAMED, encoded
from quarterdeck.domain.mcp.messages import joined
from quarterdeck.domain.mcp.versions import (
    META_CAPABILITIES,
    META_CLIENT,
    META_VERSION,
    STATELESS,
    Era,
)

CLIENT: Final = orjson.dumps({"name": "quarterdeck", "version": __version__})
REFUSED: Final = Reply(error=b'{"code":-32601,"message":"Method not found"}')
RPC_DATA_BYTES_MAX: Final = 4096
#: Backslashes, and the byte after them; anything where there is none.
_WHOLE: Final = re.compile(rb"\\*.?", re.DOTALL)
_NOT_BRACKETS: Final = bytes(b for b in range(256) if b not in b"[]{}")
_STEP: Final = {b: 1 if b in b"[{" else -1 for b in b"[]{}"}


class Unreadable(Exception):
    """A server said something that is no message of the protocol."""


def no_look() -> None:
    """What is asked by the platform itself needs no clearance."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it is to go to a server.

    `look` is asked just before the first byte leaves, and raises if it may not any more.
    """

    method: str
    params: Mapping[str, Raw | bytes] = {}
    meta: Mapping[str, Raw] = NOTHING
    capabilities: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None
    look: Callable[[], None] = no_look
    #: What a server that speaks both eras is spoken to in; the newer one if nobody says.
    era: Era | None = None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered: a raw result, or an error object, or only an HTTP status."""

    result: bytes | None = None
    error: bytes = b""
    status: int = 200


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a server, to its first level. An id that is absent or null is None."""

    id: int | str | None = None
    method: str | None = None
    params: Raw = Raw(b"")
    result: Raw = Raw(b"")
    error: Raw = Raw(b"")

    @property
    def is_answer(self) -> bool:
        """Whether it answers a request."""
        return self.method is None


class RpcError(msgspec.Struct, frozen=True):
    """An error object."""

    code: int = 0
    message: str = ""
    data: Raw = Raw(b"")

    def shown(self) -> dict[str, Any]:
        """As it is kept: its data only where that is small."""
        kept: dict[str, Any] = {"code": self.code, "message": self.message[:ERROR_CHARACTERS_MAX]}
        if 0 < len(self.data) <= RPC_DATA_BYTES_MAX:
            kept["data"] = orjson.loads(bytes(self.data))
        return kept


_HEARD: Final = msgspec.json.Decoder(Heard)
_ERROR: Final = msgspec.json.Decoder(RpcError)


def heard(line: bytes) -> Heard:
    """A message as it came. Raises Unreadable where it is none."""
    try:
        found = _HEARD.decode(line)
        if not line.isascii():
            line.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"it sent what is no JSON-RPC message: {error}"[:200]) from error
    if found.is_answer and not (len(found.result) or len(found.error)):
        raise Unreadable("it sent a message that is neither a request nor an answer")
    return found


def depth_steps(body: bytes) -> Iterator[None]:
    """Raise Unreadable where a body is nested too deeply; a large one is looked at in slices.

    Quotes that are escaped go first, so that every other piece between quotes is text.
    """
    if body.count(b"[") + body.count(b"{") <= JSON_DEPTH_MAX:
        return
    depth, in_text, start = 0, 0, 0
    while start < len(body):
        # Not between a backslash and what it escapes.
        whole = _WHOLE.match(body, start + SLICE_BYTES - 1)
        assert whole is not None, "it matches nothing as well"
        plain, start = body[start : whole.end()], whole.end()
        if b"\\" in plain:
            plain = plain.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = plain.split(b'"')
        brackets = b"".join(pieces[in_text::2]).translate(None, _NOT_BRACKETS)
        in_text = (in_text + len(pieces) - 1) % 2
        depths = list(accumulate((_STEP[b] for b in brackets), initial=depth))
        if max(depths) > JSON_DEPTH_MAX:
            raise Unreadable(f"its answer is nested deeper than {JSON_DEPTH_MAX} levels")
        depth = depths[-1]
        yield


def rpc_error(raw: bytes) -> RpcError:
    """An error object; one that cannot be read has no words."""
    try:
        return _ERROR.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return RpcError(0, "the server answered an error that cannot be read")


def written(wanted: Wanted, number: int, version: str) -> bytes:
    """The request as one line, as its era has it."""
    meta: dict[str, Raw | bytes] = dict(wanted.meta)
    if version == STATELESS:
        meta[META_VERSION] = b'"' + version.encode() + b'"'
        meta[META_CLIENT] = CLIENT
        meta[META_CAPABILITIES] = wanted.capabilities
    params = dict(wanted.params)
    if meta:
        params["_meta"] = joined(meta)
    begun = {
        "jsonrpc": b'"2.0"',
        "id": str(number).encode(),
        "method": orjson.dumps(wanted.method),
    }
    return joined(begun | {"params": joined(params)} if params else begun)


def routing_headers(wanted: Wanted) -> dict[str, str]:
    """What a stateless request repeats in its headers, so that others may route by it."""
    found = {"mcp-protocol-version": STATELESS, "mcp-method": wanted.method}
    member = NAMED.get(wanted.method)
    if member is not None and member in wanted.params:
        found["mcp-name"] = encoded(orjson.loads(bytes(wanted.params[member])))
    return found | dict(wanted.headers)


def notice(method: str, params: bytes = b"") -> bytes:
    """A notification as one line."""
    begun = {"jsonrpc": b'"2.0"', "method": orjson.dumps(method)}
    return joined(begun | {"params": params} if params else begun)


def reply_to(number: int | str, reply: Reply) -> bytes:
    """The answer to a server's own request as one line."""
    begun = {"jsonrpc": b'"2.0"', "id": orjson.dumps(number)}
    if reply.result is not None:
        return joined(begun | {"result": reply.result})
    return joined(begun | {"error": reply.error or REFUSED.error or b"{}"})


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself: by `server/discover`, or in its handshake."""

    version: str
    capabilities: bytes = b"{}"
    info: bytes = b"{}"
    instructions: str = ""


class _Discover(msgspec.Struct, rename="camel"):
    supported_versions: list[str]
    capabilities: Raw = Raw(b"{}")
    instructions: str = ""
    meta: dict[str, Raw] = msgspec.field(name="_meta", default_factory=dict)


class _Initialized(msgspec.Struct, rename="camel"):
    protocol_version: str
    capabilities: Raw = Raw(b"{}")
    server_info: Raw = Raw(b"{}")
    instructions: str = ""


def discovered(answer: Answered) -> Discovered | None:
    """What `server/discover` says; nothing if this is no server of the stateless era."""
    if answer.result is None:
        return None
    try:
        said = msgspec.json.decode(answer.result, type=_Discover)
    except (msgspec.DecodeError, RecursionError):
        return None
    if STATELESS not in said.supported_versions:
        return None
    return Discovered(
        version=STATELESS,
        capabilities=bytes(said.capabilities),
        info=bytes(said.meta.get("io.modelcontextprotocol/serverInfo", b"{}")),
        instructions=said.instructions,
    )


class _Supported(msgspec.Struct):
    supported: list[str] = []


class _Unsupported(msgspec.Struct):
    code: int = 0
    data: _Supported = msgspec.field(default_factory=_Supported)


def speaks_stateless(error: bytes) -> bool:
    """Whether an error says that the revision is not spoken, and names the one we speak."""
    try:
        said = msgspec.json.decode(error or b"{}", type=_Unsupported)
    except (msgspec.DecodeError, RecursionError):
        return False
    return said.code == UNSUPPORTED_VERSION and STATELESS in said.data.supported


def initialized(answer: Answered) -> Discovered:
    """What a handshake says. Raises Unreadable where it is none."""
    if answer.result is None:
        raise Unreadable(f"it refused the handshake: {rpc_error(answer.error).message or 'no why'}")
    try:
        said = msgspec.json.decode(answer.result, type=_Initialized)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable("its handshake cannot be read") from error
    return Discovered(
        version=said.protocol_version,
        capabilities=bytes(said.capabilities),
        info=bytes(said.server_info),
        instructions=said.instructions,
    )
