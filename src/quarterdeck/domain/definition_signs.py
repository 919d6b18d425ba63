"""Signs in a definition that it says something to models that people are not meant to notice.

A definition is read by every model that may call the tool, so it is where instructions are hidden.
These are findings for a person who decides, with the place and the words; none of them releases or
refuses anything. What a list of phrases cannot find, the pin does: it notices every change.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from quarterdeck.domain.definition_diff import is_hidden, visible
from quarterdeck.domain.lookalikes import resembled

SIGNS_MAX: Final = 50
QUOTE_CHARACTERS_MAX: Final = 120
TEXT_CHARACTERS_MAX: Final = 4000
_DEPTH_MAX: Final = 64

_INSTRUCTIONS: Final = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:previous|prior|above|other|all)\b"
    r"|\b(?:do not|don't|never)\b.{0,30}\b(?:tell|mention|inform|reveal|show|notify)\b"
    r"|\b(?:before|instead of)\b.{0,20}\b(?:using|calling)\b.{0,30}\b(?:any|other|this)\b"
    r"|\b(?:you must|always)\b.{0,40}\b(?:first|call|read|send|include|pass|use)\b"
    r"|\bsystem prompt\b|\bas a side effect\b|\bwithout asking\b|\bsecretly\b|\bsilently\b",
    re.IGNORECASE,
)
_MARKUP: Final = re.compile(r"<!--|</?(?:important|system|instructions?|secret|hidden)\b", re.I)
_FILES: Final = re.compile(r"~/\.|\.ssh\b|id_rsa|\.env\b|/etc/passwd|credentials?\.json|mcp\.json")
_BLOB: Final = re.compile(r"[A-Za-z0-9+/=_-]{120,}")
_FAR: Final = re.compile(r"\n\s{0,200}\n\s{0,200}\n\s{0,200}\n\s{0,200}\n|[ \t]{80}")


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at: where it stands, what it is, and the words."""

    place: str
    what: str
    quote: str = ""


def signs(definition: Mapping[str, Any]) -> tuple[Sign, ...]:
    """All that a person should look at before granting a definition."""
    found: list[Sign] = []
    for place, text in _texts("", definition, 0):
        found += _of_text(place, text)
        if len(found) >= SIGNS_MAX:
            break
    return tuple(found[:SIGNS_MAX])


def shadows(
    definition: Mapping[str, Any], server: str, others: Iterable[tuple[str, str]]
) -> tuple[Sign, ...]:
    """Whether it passes itself off as a tool of another server, or speaks of one.

    `others` are servers and their tools that somebody granted.
    """
    name = str(definition.get("name", ""))
    text = str(definition.get("description", ""))
    found = []
    for other, tool in others:
        if other == server:
            continue
        if tool == name or resembled(name, (tool,)):
            what = f"its name is taken for `{tool}` of server `{other}`"
            found.append(Sign(place="name", what=what, quote=visible(name)))
        elif len(tool) > 3 and re.search(rf"(?<!\w){re.escape(tool)}(?!\w)", text):
            what = f"it speaks of `{tool}` of server `{other}`"
            found.append(Sign(place="description", what=what))
    return tuple(found[:SIGNS_MAX])


def _texts(place: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Every text in it with its place: names of arguments too, since models read them."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{place}.{visible(str(key))}" if place else visible(str(key))
            if any(is_hidden(c) for c in str(key)):
                yield below, str(key)
            yield from _texts(below, inner, depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(f"{place}[{index}]", inner, depth + 1)


def _of_text(place: str, text: str) -> Iterator[Sign]:
    if hidden := [c for c in text if is_hidden(c)]:
        names = ", ".join(dict.fromkeys(visible(c) for c in hidden[:20]))
        count = "1 character" if len(hidden) == 1 else f"{len(hidden)} characters"
        what = f"{count} that nobody sees: {names}"[:QUOTE_CHARACTERS_MAX]
        yield Sign(place=place, what=what, quote=_around(text, text.index(hidden[0])))
    for what, pattern in (
        ("it instructs whoever reads it", _INSTRUCTIONS),
        ("it holds markup that is not shown", _MARKUP),
        ("it names files where secrets are", _FILES),
        ("it holds a long run of characters that may be encoded text", _BLOB),
        ("it goes on far below or beside what is shown", _FAR),
    ):
        if match := pattern.search(text):
            yield Sign(place=place, what=what, quote=_around(text, match.start()))
    if len(text) > TEXT_CHARACTERS_MAX:
        yield Sign(place=place, what=f"it is {len(text)} characters long")


def _around(text: str, at: int) -> str:
    start = max(0, at - 20)
    return visible(text[start : start + QUOTE_CHARACTERS_MAX].replace("\n", " ").strip())
