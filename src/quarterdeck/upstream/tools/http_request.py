"""The request of an HTTP operation, made of the arguments that were cleared. Pure.

INVARIANT: no argument leaves the place its contract gives it: the server, the segment of the path,
the value of a query or a header. What could, at a server that decodes once more or differently
than others, is refused and not repaired.
INVARIANT: values are sent as the JSON they came in: a number of many digits stays that number.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

import msgspec
from msgspec import Raw

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import HTTP_HEADER_BYTES_MAX, HTTP_URL_BYTES_MAX
from quarterdeck.domain.tools import RESERVED_HEADERS, HttpBackend, Key

_IN_PATH: Final = re.compile(r"\{([^{}]+)\}")
_DOTS: Final = re.compile(r"\.{1,2}(;.*)?")
_DECODINGS: Final = 4  # nobody decodes more often


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What goes over the wire, but for what shows the account."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)


def build(
    backend: HttpBackend, base_url: str, arguments: bytes, key: Key | None, key_value: str
) -> HttpRequest:
    """The request of one call. Raises Invalid where an argument cannot be sent where it belongs."""
    given = _parts(arguments)
    if key is not None and key.place == "argument" and key.name not in given:
        given[key.name] = Raw(msgspec.json.encode(key_value))
    placed: set[str] = set()
    path = _path(backend.path, given, placed)
    query = _query(backend.query, given, placed)
    headers = _headers(backend.headers, given, placed)
    if key is not None and key.place == "header":
        headers[key.name.lower()] = key_value
    body = _body(backend.body, given, placed)
    if body is not None:
        headers["content-type"] = "application/json"
    url = base_url.rstrip("/") + path + (f"?{query}" if query else "")
    if len(url) > HTTP_URL_BYTES_MAX:
        raise Invalid(f"the URL would be longer than {HTTP_URL_BYTES_MAX} bytes")
    return HttpRequest(method=backend.method, url=url, headers=headers, body=body)


def _parts(arguments: bytes) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(arguments, type=dict[str, Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("the arguments are not a JSON object", hint="send an object") from error


def _path(template: str, given: Mapping[str, Raw], placed: set[str]) -> str:
    """The path with each argument in its own segment."""
    placed.update(_IN_PATH.findall(template))
    return "/".join([_segment(segment, given) for segment in template.split("/")])


def _segment(written: str, given: Mapping[str, Raw]) -> str:
    names = _IN_PATH.findall(written)
    if not names:
        return written
    texts = {name: _text(name, given) for name in names}
    for name, text in texts.items():
        if not text:
            raise Invalid(f"`{name}` is empty: the path would be another", hint="give a value")
    _check_segment(names[0], _IN_PATH.sub(lambda found: texts[found[1]], written))
    return _IN_PATH.sub(lambda found: quote(texts[found[1]], safe=""), written)


def _check_segment(name: str, decoded: str) -> None:
    """Refuse what would be more than one segment, or a step up, at a server that decodes again."""
    for _ in range(_DECODINGS):
        seen = unicodedata.normalize("NFKC", decoded)
        if "/" in seen or "\\" in seen or not seen.isprintable() or _DOTS.fullmatch(seen):
            raise Invalid(
                f"`{name}` cannot stand in a path: it could be read as another path",
                hint="give it without `/`, `\\`, `..` and control characters, encoded or not",
            )
        again = unquote(decoded, errors="replace")
        if again == decoded:
            return
        decoded = again


def _query(places: Mapping[str, str], given: Mapping[str, Raw], placed: set[str]) -> str:
    pairs = []
    for wire, name in places.items():
        placed.add(name)
        if name not in given:
            continue
        raw = bytes(given[name])
        items = msgspec.json.decode(raw, type=list[Raw]) if raw[:1] == b"[" else [given[name]]
        for item in items:
            text = _scalar(name, item)
            if text is not None:
                pairs.append(f"{quote(wire, safe='[]')}={quote(text, safe='')}")
    return "&".join(pairs)


def _headers(
    places: Mapping[str, str], given: Mapping[str, Raw], placed: set[str]
) -> dict[str, str]:
    headers = {}
    for wire, name in places.items():
        placed.add(name)
        if wire.lower() in RESERVED_HEADERS:
            raise Invalid(f"the header `{wire}` is not an argument's to set")
        text = _scalar(name, given[name]) if name in given else None
        if text is None:
            continue
        if not text.isascii() or not text.isprintable() or len(text) > HTTP_HEADER_BYTES_MAX:
            raise Invalid(
                f"`{name}` cannot stand in a header",
                hint=f"give one line of printable ASCII, at most {HTTP_HEADER_BYTES_MAX} bytes",
            )
        headers[wire.lower()] = text.strip()
    return headers


def _body(place: str | None, given: Mapping[str, Raw], placed: set[str]) -> bytes | None:
    """The one argument that is the body, or an object of all that went nowhere else."""
    if place is None:
        return None
    if place != "*":
        return bytes(given[place]) if place in given else None
    rest = [
        msgspec.json.encode(name) + b":" + bytes(value)
        for name, value in given.items()
        if name not in placed
    ]
    return b"{" + b",".join(rest) + b"}"


def _text(name: str, given: Mapping[str, Raw]) -> str:
    return (_scalar(name, given[name]) if name in given else None) or ""


def _scalar(name: str, value: Raw) -> str | None:
    """A value as text: a string is itself, a number or truth value as JSON writes it."""
    raw = bytes(value).strip()
    if raw[:1] == b'"':
        try:
            return msgspec.json.decode(raw, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"`{name}` is no text that can be sent") from error
    if raw[:1] in (b"{", b"["):
        raise Invalid(f"`{name}` is no text, number or truth value, and must be one to be sent")
    return None if raw == b"null" else raw.decode("ascii")
