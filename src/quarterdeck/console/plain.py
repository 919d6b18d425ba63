"""Text for people: what agents and content say made inert, amounts and times in words.

INVARIANT: whatever came from an agent, a vendor or content passes `inert` (escaping is the
templates' part): no control, direction or invisible characters, one length limit, never a link.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import orjson

from quarterdeck.domain.limits import LINE_CHARACTERS_MAX
from quarterdeck.domain.money import NANOUSD_PER_USD, usd
from quarterdeck.sources import datetime_of

ELLIPSIS: Final = "…"

# Colours and cursor moves go whole, so that no `[31m` stays behind when its escape is dropped. What
# a longer sequence wraps stays: hidden on a terminal, it must not be hidden from people here.
_TERMINAL: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]{0,32}[ -/]{0,4}[@-~]")
# Controls, direction marks, zero-width and other invisible letters, variation selectors and tags
# (which can carry hidden words), surrogates, private use and noncharacters at the end.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)


def inert(text: str) -> str:
    """The text with line breaks and tabs, and nothing else that does not show."""
    return _UNSEEN.sub("", _TERMINAL.sub("", _broken(text)))


def _broken(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")


def line(text: object, characters_max: int = LINE_CHARACTERS_MAX) -> str:
    """Inert text on one line, cut to a length."""
    flat = " ".join(inert(str(text)[: characters_max * 4]).split())
    return flat if len(flat) <= characters_max else flat[: characters_max - 1] + ELLIPSIS


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Content as inert text; `note` says what is left out."""

    text: str
    note: str


def quote(value: Any, *, characters_max: int, command: str) -> Quote:
    """JSON indented, text as it is, cut to a length; the note says what is missing."""
    text = _broken(value if isinstance(value, str) else _indented(value))
    cut = text[:characters_max]
    shown = inert(cut)
    notes = []
    if len(text) > len(cut):
        notes.append(f"Shown are the first {len(cut):,} of {len(text):,} characters.")
    if len(cut) > len(shown):
        notes.append(f"{len(cut) - len(shown):,} characters that do not show are left out.")
    if notes:
        notes.append(f"To see it all: {command}")
    return Quote(text=shown, note=" ".join(notes))


def _indented(value: Any) -> str:
    """JSON for people. The fast encoder stops at a depth the slow one still reaches."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False)


def visible(text: str) -> str:
    """Text as it was recorded, what does not show written out: `⟨U+202E⟩`. For the raw view."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A time: in the reader's zone, how long ago, and in UTC."""

    iso: str
    text: str
    ago: str
    utc: str


def moment(micros: int, now: datetime) -> Moment:
    """A stored time as people read it; the zone of `now` is the reader's."""
    at = datetime_of(micros)
    here = at.astimezone(now.tzinfo)
    if here.date() == now.date():
        text = here.strftime("%H:%M:%S")
    elif here.year == now.year:
        text = f"{here.day} {here.strftime('%b %H:%M')}"
    else:
        text = f"{here.day} {here.strftime('%b %Y %H:%M')}"
    return Moment(
        iso=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        text=text,
        ago=_relative(int((now - at).total_seconds())),
        utc=at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def _relative(seconds: int) -> str:
    if seconds < 0:
        return f"in {_rough(-seconds)}"
    return "just now" if seconds < 5 else f"{_rough(seconds)} ago"


def _rough(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600} h"
    return f"{seconds // 86_400} days"


def duration(start: int, end: int) -> str:
    """The time between two stored times."""
    return span(max(0, end - start))


def span(micros: int) -> str:
    """A length of time in the unit its size deserves."""
    if micros < 1_000:
        return "under 1 ms"
    if micros < 1_000_000:
        return f"{micros // 1_000} ms"
    if micros < 60_000_000:
        return f"{Decimal(micros) / 1_000_000:.1f} s"
    seconds = micros // 1_000_000
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600:02d} h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Money: `text` in sensible digits, `exact` with all of them."""

    text: str
    exact: str


def amount(nanousd: int) -> Amount:
    """US dollars in as many digits as their size deserves; what is not zero never reads as zero."""
    value = Decimal(nanousd) / NANOUSD_PER_USD
    size = abs(value)
    if size >= 1 or not nanousd:
        digits = 2
    elif size >= Decimal("0.1"):
        digits = 3
    else:
        digits = min(9, 1 - size.adjusted())  # two figures that count
    rounded = value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    sign = "-" if rounded < 0 else ""
    return Amount(text=f"{sign}${abs(rounded):,.{digits}f}", exact=f"{usd(nanousd)} USD")


def count(number: int) -> str:
    """A count in a short form: 950, 12.4k, 3.1M."""
    if number < 10_000:
        return f"{number:,}"
    if number < 999_500:
        return f"{Decimal(number) / 1000:.{1 if number < 100_000 else 0}f}k"
    return f"{Decimal(number) / 1_000_000:.1f}M"


def size(octets: int) -> str:
    """A length in bytes."""
    if octets < 1024:
        return f"{octets} B"
    kibibytes = Decimal(octets) / 1024
    return f"{kibibytes:.1f} KiB" if kibibytes < 1024 else f"{kibibytes / 1024:.1f} MiB"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
