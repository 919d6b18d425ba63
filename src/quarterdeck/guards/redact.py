"""Redaction: values the record must not hold are replaced by stand-ins before anything is stored.

Patterns run in linear time (RE2) and every match is confirmed by its checksum or shape, so an order
number is not taken for a card. Works on raw JSON, inside strings; the stand-in is safe there.
Absent on purpose: names and addresses of people, which need a model (an optional plug-in).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
import re2

from quarterdeck.domain.labels import NONE, Label
from quarterdeck.domain.redacted import Redacted
from quarterdeck.keys import Pseudonyms

_BACKSLASH: Final = 0x5C


def luhn(value: bytes) -> bool:
    """ISO/IEC 7812-1 check digit of a card number written with spaces or dashes."""
    digits = [d - 48 for d in value if 48 <= d <= 57]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(value: bytes) -> bool:
    """ISO 13616 mod-97 check of an account number."""
    compact = value.replace(b" ", b"").upper()
    if not 15 <= len(compact) <= 34:
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(chr(c), 36)) for c in moved)) % 97 == 1


def social_security(value: bytes) -> bool:
    """A US social security number that was ever issued (no 000, 666, 9xx areas)."""
    area, group, serial = value.split(b"-")
    return area not in (b"000", b"666") and area < b"900" and group != b"00" and serial != b"0000"


def _always(value: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    label: Label
    pattern: str
    confirmed: Callable[[bytes], bool]


_KINDS: Final = (
    _Kind(
        "private-key",
        "secret",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s\\nr]{16,}"
        r"-----END [A-Z ]*PRIVATE KEY-----",
        _always,
    ),
    _Kind(
        "api-key",
        "secret",
        r"\b(?:sk-[A-Za-z0-9_-]{20,}|qd[rk]_[A-Za-z0-9_-]{40,60}|AKIA[0-9A-Z]{16}"
        r"|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{35}"
        r"|[rs]k_live_[0-9A-Za-z]{20,})",
        _always,
    ),
    _Kind(
        "token",
        "secret",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        _always,
    ),
    _Kind(
        "email",
        "pii",
        r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
        _always,
    ),
    _Kind("card", "pci", r"\b[0-9](?:[ -]?[0-9]){12,18}\b", luhn),
    _Kind("iban", "pci", r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{2,4}){3,8}\b", iban),
    _Kind("ssn", "pii", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", social_security),
)
_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.max_mem = 64 << 20
_ANY: Final = re2.compile("|".join(f"({k.pattern})" for k in _KINDS).encode(), _OPTIONS)


def redact(raw: bytes, pseudonyms: Pseudonyms) -> Redacted:
    """Take out what must not be stored; `raw` is JSON or plain text in UTF-8."""
    if b"\\u" in raw:
        raw = _unescaped(raw)  # `\u0040` is an @ that no pattern would see
    if _ANY.search(raw) is None:
        return Redacted(raw, NONE)
    found: set[Label] = set()

    def replaced(match: "re2._Match[bytes]") -> bytes:
        kind = _KINDS[match.lastindex - 1]
        value = match.group(0)
        kept = b""
        if _is_escaped(raw, match.start()):
            # `\njo@x.org` in JSON is a line break and then an address: the `n` is not part of it
            kept, value = value[:1], value[1:]
        if not kind.confirmed(value):
            return bytes(match.group(0))
        found.add(kind.label)
        return kept + pseudonyms.of(kind.name, value)

    body = _ANY.sub(replaced, raw)
    return Redacted(body, frozenset(found))


def _is_escaped(raw: bytes, start: int) -> bool:
    slashes = 0
    while start - slashes > 0 and raw[start - slashes - 1] == _BACKSLASH:
        slashes += 1
    return slashes % 2 == 1


def _unescaped(raw: bytes) -> bytes:
    try:
        return orjson.dumps(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return raw
