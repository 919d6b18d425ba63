"""Headers that repeat a message of the stateless era: they agree with its body, or it is refused.

Somebody on the way may have routed or allowed by the header, while the server acts on the body.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from quarterdeck.domain.dialects.request import Members
from quarterdeck.domain.mcp.errors import HEADER_MISMATCH, INVALID_PARAMS, Fault, unsupported
from quarterdeck.domain.mcp.messages import Message, object_of, text_of
from quarterdeck.domain.mcp.versions import (
    META_CAPABILITIES,
    META_VERSION,
    SPOKEN,
    STATELESS,
    era_of,
)

VERSION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
NAME: Final = b"mcp-name"
PARAM: Final = "mcp-param-"
SESSION: Final = b"mcp-session-id"
#: Which member of its params a method's name stands in.
NAMED: Final[Mapping[str, str]] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
}
_ONCE: Final = frozenset((VERSION, METHOD, NAME, SESSION))
_BEGIN, _END = "=?base64?", "?="
_PLAIN: Final = re.compile(r"[\x20-\x7E]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.0{1,20})?")
_ANNOTATION: Final = "x-mcp-header"
_SCALARS: Final = frozenset(("string", "integer", "boolean"))
_INTEGER_MAX: Final = 2**53 - 1

Sent = Iterable[tuple[bytes, bytes]]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers of one request say of it; absent is None."""

    version: str | None = None
    method: str | None = None
    name: str | None = None
    session: str | None = None
    params: Mapping[str, str] = {}


class Annotated(msgspec.Struct, frozen=True):
    """An argument that is repeated in a header: its path, the header's last part, its type."""

    path: tuple[str, ...]
    token: str
    type: str


def told(sent: Sent) -> Told:
    """Read the headers of a request; one that says itself twice is refused."""
    found: dict[bytes, str] = {}
    params: dict[str, str] = {}
    for name, value in sent:
        if name in _ONCE:
            if name in found:
                raise _mismatch(f"the header {name.decode()} stands there twice")
            found[name] = _value(value)
        elif name.startswith(b"mcp-param-"):
            token = name.decode("latin-1")[len(PARAM) :]
            if token in params:
                raise _mismatch(f"the header {name.decode('latin-1')} stands there twice")
            params[token] = _value(value)
    return Told(
        version=found.get(VERSION),
        method=found.get(METHOD),
        name=found.get(NAME),
        session=found.get(SESSION),
        params=params,
    )


def _value(sent: bytes) -> str:
    """A header's value; the space around it is none of it (RFC 9110 §5.5), and parsers leave it."""
    return sent.strip(b" \t").decode("latin-1")


def is_stateless(said: Told, meta: Members) -> bool:
    """Which era a request is of: what it carries in itself decides, then what its header names."""
    if META_VERSION in meta:
        return True
    return said.version is not None and era_of(said.version) != "handshake"


def check(said: Told, message: Message, params: Members, meta: Members) -> None:
    """Raise Fault unless a stateless request is complete, agrees with itself, and is spoken here.

    First what is missing in the body, then whether the headers agree, then the version: a client
    that contradicts itself learns that, not that its version is unknown.
    """
    if missing := [name for name in (META_VERSION, META_CAPABILITIES) if name not in meta]:
        raise Fault(INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}")
    version = text_of(meta, META_VERSION) or ""
    object_of(meta[META_CAPABILITIES], META_CAPABILITIES)
    if said.version != version:
        raise _mismatch("MCP-Protocol-Version is not the version in params._meta")
    if said.method != message.method:
        raise _mismatch("Mcp-Method is not the method of the message")
    member = NAMED.get(message.method)
    if member is not None:
        name = text_of(params, member)
        if name is not None and (said.name is None or decoded(said.name) != name):
            raise _mismatch(f"Mcp-Name is not the `{member}` of the message")
    if version != STATELESS:
        raise unsupported(version[:64], SPOKEN)


def decoded(value: str) -> str | None:
    """What a header says; None if it is neither plain nor well-formed base64."""
    if not _PLAIN.fullmatch(value):
        return None
    if not (value.startswith(_BEGIN) and value.endswith(_END) and len(value) > len(_BEGIN)):
        return value
    payload = value[len(_BEGIN) : -len(_END)]
    try:
        plain = base64.b64decode(payload, validate=True)
        text = plain.decode()
    except (binascii.Error, ValueError):
        return None
    # Other spellings of the same bytes would be read here and not elsewhere.
    return text if base64.b64encode(plain).decode() == payload else None


def encoded(value: str) -> str:
    """A value as a header may hold it."""
    looks_encoded = value.startswith(_BEGIN) and value.endswith(_END)
    if _PLAIN.fullmatch(value) and value == value.strip() and not looks_encoded:
        return value
    return f"{_BEGIN}{base64.b64encode(value.encode()).decode()}{_END}"


def annotated(schema: Any) -> tuple[Annotated, ...]:
    """The arguments a tool's schema wants repeated in headers; raises ValueError where one is not
    as the protocol has it, which makes the whole definition one that must not be used.
    """
    found: list[Annotated] = []
    left: list[tuple[tuple[str, ...] | None, Any]] = [((), schema)]
    while left:
        path, node = left.pop()
        if isinstance(node, list):
            left.extend((None, part) for part in node)
        if not isinstance(node, dict):
            continue
        if _ANNOTATION in node and not _is_name_of_property(node):
            found.append(_annotation(path, node))
        for keyword, value in node.items():
            if keyword == "properties" and isinstance(value, dict):
                left.extend(
                    ((*path, name) if path is not None else None, sub)
                    for name, sub in value.items()
                )
            elif keyword not in ("default", "examples", "const", "enum"):
                left.append((None, value))
    tokens = [one.token for one in found]
    if len(set(tokens)) != len(tokens):
        raise ValueError("two arguments have the same x-mcp-header")
    return tuple(found)


def _is_name_of_property(node: dict[str, Any]) -> bool:
    """`properties` may have a property of that very name: then its value is a schema."""
    return isinstance(node[_ANNOTATION], dict)


def _annotation(path: tuple[str, ...] | None, node: dict[str, Any]) -> Annotated:
    token, kind = node[_ANNOTATION], node.get("type")
    if not path:
        raise ValueError("x-mcp-header stands where no plain property is")
    where = ".".join(path)
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ValueError(f"the x-mcp-header of `{where}` is no name of a header")
    if not isinstance(kind, str) or kind not in _SCALARS:
        raise ValueError(f"`{where}` has an x-mcp-header and is no text, integer or boolean")
    return Annotated(path, token.lower(), kind)


def check_params(said: Told, wanted: Iterable[Annotated], arguments: Any) -> None:
    """Raise Fault unless each annotated argument and its header say the same, or both nothing."""
    for one in wanted:
        value, header = _at(arguments, one.path), said.params.get(one.token)
        name, where = f"Mcp-Param-{one.token}", ".".join(one.path)
        written = _written(value)
        if header is None:
            if written is not None:
                raise _mismatch(f"the header {name} is missing for the argument `{where}`")
            continue
        shown = decoded(header)
        if written is None or shown is None or not _same(one, value, written, shown):
            raise _mismatch(f"the header {name} is not the argument `{where}`")


def param_headers(wanted: Iterable[Annotated], arguments: Any) -> list[tuple[str, str]]:
    """The headers that repeat arguments, for a server that wants them."""
    written = ((one, _written(_at(arguments, one.path))) for one in wanted)
    return [(PARAM + one.token, encoded(text)) for one, text in written if text is not None]


def _same(one: Annotated, value: Any, written: str, shown: str) -> bool:
    if one.type == "integer" and isinstance(value, int | float) and not isinstance(value, bool):
        return _DECIMAL.fullmatch(shown) is not None and int(shown.partition(".")[0]) == value
    return shown == written


def _written(value: Any) -> str | None:
    """An argument as a header says it; None where nothing is to be said."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and abs(value) <= _INTEGER_MAX:
        return str(value)
    return None


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        arguments = arguments.get(step) if isinstance(arguments, dict) else None
    return arguments


def _mismatch(because: str) -> Fault:
    return Fault(HEADER_MISMATCH, f"Header mismatch: {because}")


def meta_of(params: Members) -> Members:
    """The members of `_meta`."""
    raw: Raw | None = params.get("_meta")
    return object_of(raw, "params._meta")
