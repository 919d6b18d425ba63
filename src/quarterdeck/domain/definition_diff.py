"""What changed between two definitions, in lines people understand.

Each change names its place in the words of the protocol, what was said there and what is said now.
Text is compared sentence by sentence. Characters that nobody sees are written out, so that a change
that consists of them is a change one can see.
"""

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from quarterdeck.domain.definitions import DEFINED_BY

#: Enough to judge by; a definition that changes in more places is another tool.
CHANGES_MAX: Final = 200
LINES_MAX: Final = 400
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n")
_PLAIN_SPACES: Final = frozenset(" \n")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One place that changed: its lines before, and now."""

    place: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def difference(before: Any, after: Any) -> tuple[Change, ...]:
    """All changes from one definition to another; from nothing, all that it says."""
    old = {k: v for k, v in (before or {}).items() if k in DEFINED_BY}
    new = {k: v for k, v in (after or {}).items() if k in DEFINED_BY}
    found: list[Change] = []
    for change in _changes("", old, new):
        if len(found) == CHANGES_MAX:
            found.append(Change(place="…", after=("there are more changes than are shown",)))
            break
        found.append(change)
    return tuple(found)


def visible(text: str) -> str:
    """A text with all that is invisible, or turns the direction of reading, written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_seen(c) else _named(c) for c in text)


def is_hidden(character: str) -> bool:
    """Whether nobody sees a character where it stands in a text, other than a plain space."""
    return character not in "\n\r\t" and not _is_seen(character)


def _is_seen(character: str) -> bool:
    if character in _PLAIN_SPACES:
        return True
    kind = unicodedata.category(character)
    return kind[0] not in "CZ" and not _selects(character)


def _selects(character: str) -> bool:
    """Variation selectors, and letters that are drawn as nothing."""
    code = ord(character)
    return (
        0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or code in (0x115F, 0x3164, 0xFFA0)
    )


def _named(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"⟨U+{ord(character):04X}{' ' + name if name else ''}⟩"


def _changes(place: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new and type(old) is type(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _changes(_below(place, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, str) and isinstance(new, str):
        yield _reworded(place, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        before = tuple(_shown(value) for value in old if value not in new)
        after = tuple(_shown(value) for value in new if value not in old)
        if before or after:
            yield Change(place=place, before=before[:LINES_MAX], after=after[:LINES_MAX])
        else:
            yield Change(place=place, after=("the same, in another order or number",))
    else:
        yield Change(place=place, before=_lines(old), after=_lines(new))


class _Absent:
    """No value; null is one."""


_ABSENT: Final = _Absent()


def _below(place: str, key: str) -> str:
    shown = visible(key)
    return f"{place}.{shown}" if place else shown


def _lines(value: Any) -> tuple[str, ...]:
    if isinstance(value, _Absent):
        return ()
    if isinstance(value, str):
        return tuple(visible(line) for line in _sentences(value))[:LINES_MAX]
    return tuple(_shown(value, 2).splitlines())[:LINES_MAX]


def _shown(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True)
    return "\n".join(visible(line) for line in text.split("\n"))


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE.split(text) if part] or [text]


def _reworded(place: str, old: str, new: str) -> Change:
    """Only the sentences that differ; where none does, the spaces between them do."""
    before, after = _sentences(old), _sentences(new)
    if before == after:
        return Change(place=place, before=(repr(old),), after=(repr(new),))
    gone: list[str] = []
    came: list[str] = []
    matcher = difflib.SequenceMatcher(None, before[:LINES_MAX], after[:LINES_MAX], autojunk=False)
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        if kind != "equal":
            gone += before[a0:a1]
            came += after[b0:b1]
    return Change(
        place=place,
        before=tuple(visible(line) for line in gone),
        after=tuple(visible(line) for line in came),
    )
