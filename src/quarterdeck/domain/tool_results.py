"""Results of tools as MCP says them, and as a model reads them.

What an MCP server answered is passed on as the bytes it came in; everything else is put into that
form here: a text a model can read, and the value itself where it is an object.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw


class _Kind(msgspec.Struct, frozen=True, gc=False):
    resultType: str | None = None


class _Read(msgspec.Struct, frozen=True, gc=False):
    content: list[Raw] = []
    structuredContent: Raw = Raw(b"")


class _Block(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    text: str = ""


_KIND: Final = msgspec.json.Decoder(_Kind)
_READ: Final = msgspec.json.Decoder(_Read)
_BLOCK: Final = msgspec.json.Decoder(_Block)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])


def of_value(value: bytes) -> bytes:
    """The JSON value a tool returned as a CallToolResult."""
    # Its first character says what it is: reading a megabyte would hold the event loop too long.
    start = value.lstrip()[:1]
    text = orjson.loads(value) if start == b'"' else (value or b"null").decode()
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}]}
    if start == b"{":
        result["structuredContent"] = orjson.Fragment(value)
    return orjson.dumps(result | {"isError": False})


def of_failure(because: str, meta: Mapping[str, Any]) -> bytes:
    """A call that did not work, in words a model can act on."""
    return orjson.dumps(
        {"content": [{"type": "text", "text": because}], "isError": True, "_meta": dict(meta)}
    )


def kind_of(result: bytes) -> str:
    """The `resultType` of a result: `complete` where it does not say."""
    try:
        return _KIND.decode(result).resultType or "complete"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "complete"


def with_type(result: bytes) -> bytes:
    """A result as the stateless era wants it: one that says whether it is complete."""
    try:
        if _KIND.decode(result).resultType is not None:
            return result
    except (msgspec.DecodeError, UnicodeDecodeError):
        return result
    return with_members(result, {"resultType": b'"complete"'})


def with_members(result: bytes, wanted: Mapping[str, bytes]) -> bytes:
    """A result with members that it lacks; what it says itself stays as it is."""
    try:
        found = _MEMBERS.decode(result)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return result
    added = b",".join(b'"' + n.encode() + b'":' + v for n, v in wanted.items() if n not in found)
    if not added:
        return result
    rest = result.lstrip()[1:]
    return b"{" + added + (b"," if found else b"") + rest


def readable(result: bytes) -> str:
    """What a model reads of a CallToolResult: its texts; what is no text is named, not shown."""
    try:
        read = _READ.decode(result)
        blocks = [(raw, _BLOCK.decode(raw)) for raw in read.content]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return result.decode("utf-8", "replace")
    texts = [
        block.text if block.type == "text" else f"[{block.type or 'unknown'}, {len(raw)} bytes]"
        for raw, block in blocks
    ]
    if not texts and len(read.structuredContent):
        return bytes(read.structuredContent).decode()
    return "\n".join(texts)
