"""What was said, rendered to be read: messages, calls, results, what changed since the turn before.

Everything here is content: it passes `plain.quote` and becomes text in the page, never markup.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.console.plain import Quote, inert, line, quote, size
from quarterdeck.domain.conversations import Block, Message, message_of, messages_of_answer
from quarterdeck.domain.limits import COMPARED_LINES_MAX, QUOTE_CHARACTERS_MAX
from quarterdeck.services.conversations import Part, Turn

ROLES: Final = {
    "system": "System",
    "user": "User",
    "assistant": "Model",
    "tool": "Tool result",
    "": "Part",
}
_FIELDS_MAX: Final = 40
_FIELD_CHARACTERS_MAX: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A named value of a call or a result."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One block of a message. `fields` where it is a flat object, else `body`."""

    kind: str
    title: str
    body: Quote | None
    fields: tuple[Field, ...]
    failed: bool
    folded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message with its place in the conversation."""

    role: str
    who: str
    number: str
    added: bool
    blocks: tuple[Shown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a comparison: `+`, `-`, or blank for one that stayed."""

    mark: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A part that stands where another stood."""

    title: str
    lines: tuple[Line, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A parameter of the request that is not as it was."""

    name: str
    before: str
    after: str


def said(part: Part, shared: int, see: str) -> Said:
    """A part of a request."""
    return _said(message_of(part.value), f"{part.place + 1:,}", see, added=part.place >= shared)


def answered(answer: Any, see: str) -> tuple[Said, ...]:
    """What came back, as messages; none if it is no model's answer."""
    found = messages_of_answer(answer)
    if not found and isinstance(answer, dict) and "role" in answer and "content" in answer:
        found = (message_of(answer),)
    return tuple(_said(message, "", see, added=True) for message in found)


def _said(message: Message, number: str, see: str, *, added: bool) -> Said:
    role = message.role if message.role in ROLES else "other"
    return Said(
        role=role or "other",
        who=ROLES.get(message.role, line(message.role, 40)),
        number=number,
        added=added,
        blocks=tuple(_shown(block, see) for block in message.blocks),
    )


def _shown(block: Block, see: str) -> Shown:
    name, value = line(block.name, 80), block.value
    if block.kind == "media":
        body = quote(f"{name}, {size(int(value))} as sent", characters_max=200, command=see)
        return Shown(
            kind="media", title="not shown here", body=body, fields=(), failed=False, folded=False
        )
    titles = {
        "text": "",
        "thinking": "",
        "call": name or "a call",
        "result": name or (f"of {line(block.id, 60)}" if block.id else ""),
        "other": name,
    }
    fields = () if block.kind == "text" else fields_of(value)
    shown = quote(value, characters_max=QUOTE_CHARACTERS_MAX, command=see)
    return Shown(
        kind=block.kind,
        title=titles[block.kind],
        body=None if fields else shown,
        fields=fields,
        failed=block.failed,
        folded=block.kind == "thinking" or len(shown.text) > 3_000,
    )


def fields_of(value: Any) -> tuple[Field, ...]:
    """An object of plain values as names and values; none where it holds more than that."""
    if not isinstance(value, dict) or not value or len(value) > _FIELDS_MAX:
        return ()
    found = []
    for name, held in value.items():
        if isinstance(held, dict | list):
            return ()
        text = held if isinstance(held, str) else orjson.dumps(held).decode()
        if len(text) > _FIELD_CHARACTERS_MAX or "\n" in text:
            return ()
        found.append(Field(name=line(name, 80), value=line(text, _FIELD_CHARACTERS_MAX)))
    return tuple(found)


def difference(turn: Turn) -> Difference | None:
    """The first new part against what stood in its place, line by line."""
    now = next((part for part in turn.parts if part.place == turn.shared), None)
    if turn.replaced is None or now is None:
        return None
    old, new = _lines(turn.replaced.value), _lines(now.value)
    title = f"Message {turn.shared + 1:,} is not what it was"
    if max(len(old), len(new)) > COMPARED_LINES_MAX:
        note = f"Both are longer than {COMPARED_LINES_MAX} lines, so they are not compared here."
        return Difference(title=title, lines=(), note=note)
    lines = []
    for found in difflib.unified_diff(old, new, lineterm="", n=2):
        if not found.startswith(("---", "+++")):
            lines.append(Line(mark=found[:1], text=line(found[1:], 400) or " "))
    return Difference(title=title, lines=tuple(lines), note="") if lines else None


def _lines(value: Any) -> list[str]:
    message = message_of(value)
    texts = [b.value if isinstance(b.value, str) else _pretty(b.value) for b in message.blocks]
    return inert("\n".join(texts)).splitlines()


def _pretty(value: Any) -> str:
    return quote(value, characters_max=QUOTE_CHARACTERS_MAX, command="").text


def changed(before: Any, after: Any) -> tuple[Changed, ...]:
    """Parameters and tools that are not as they were in the turn before."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ()
    found = []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            found.append(
                Changed(
                    name=line(name, 60),
                    before=_short(before, name),
                    after=_short(after, name),
                )
            )
    return tuple(found)


def _short(held: dict[str, Any], name: str) -> str:
    if name not in held:
        return "not set"
    value = held[name]
    if name == "tools" and isinstance(value, Sequence):
        return f"{len(value)} tools"
    return line(value if isinstance(value, str) else orjson.dumps(value).decode(), 120)
