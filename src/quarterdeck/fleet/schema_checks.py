"""How much work a JSON Schema makes: how many of its parts look at one place of a value.

Nothing can stop a validation once it runs, and a schema may multiply its own work: alternatives
that each refer back to the whole double the checks at every level of a value. So the checks are
counted before: which parts look at the root, which of them look at what is under a name, and so on
until no new combination of parts is found. The largest number is the price of one place, whatever
the value; a schema in which it keeps growing is refused.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import orjson

from quarterdeck.domain.limits import (
    JSON_DEPTH_MAX,
    SCHEMA_CHECKS_PER_PLACE_MAX,
    SCHEMA_PARTS_MAX,
    SCHEMA_STEPS_MAX,
)

#: A part of a schema by its JSON pointer, and how often each part looks at a place.
Part: TypeAlias = tuple[str, ...]
Looks: TypeAlias = Counter[Part]

_FEW_PARTS: Final = 100
_HERE: Final = ("allOf", "anyOf", "oneOf", "if", "then", "else", "not", "dependentSchemas")
_REFERENCES: Final = ("$ref", "$dynamicRef")
_OTHERS: Final = ("additionalProperties", "unevaluatedProperties", "patternProperties")
_ITEMS: Final = ("items", "contains", "unevaluatedItems", "prefixItems")


class Endless(Exception):
    """A schema whose work has no bound, in the words of its problem; `part` says where."""

    def __init__(self, part: Part, message: str) -> None:
        super().__init__(message)
        self.part = part


def checks_per_place(schema: Mapping[str, Any]) -> int:
    """The most parts of the schema that look at one place of a value; raises `Endless`."""
    return _Counting(schema).most()


def checks_at_most(schema: Mapping[str, Any]) -> int:
    """As `checks_per_place`, or more, and sooner for most schemas: a fleet may have thousands.

    Without a reference each part looks at most once at a place, so there are no more looks than
    parts; and a small number of parts need not be told apart.
    """
    try:
        text = orjson.dumps(schema)
    except orjson.JSONEncodeError:  # a number of many digits, half a character: no JSON, for others
        return checks_per_place(schema)
    parts = text.count(b"{") + text.count(b"true") + text.count(b"false")
    if parts <= _FEW_PARTS and b'"$ref"' not in text and b'"$dynamicRef"' not in text:
        return parts
    return checks_per_place(schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A part that looks at a place, what it says, and how often it looks."""

    part: Part
    said: Mapping[str, Any]
    times: int

    @property
    def named(self) -> Mapping[str, Any]:
        value = self.said.get("properties")
        return value if isinstance(value, dict) else {}

    def under_name(self, name: str | None) -> Iterator[tuple[Part, int]]:
        """What looks at a property; without a name, at one that no part names."""
        is_named = name is not None and name in self.named
        if is_named:
            yield (*self.part, "properties", str(name)), self.times
        # A pattern may fit any name; the other keywords look at what is not named beside them.
        yield from self.under(("patternProperties",) if is_named else _OTHERS)

    def under(self, keywords: tuple[str, ...]) -> Iterator[tuple[Part, int]]:
        """What looks at the places that keywords speak of."""
        for keyword in keywords:
            if keyword in self.said:
                for part in _schemas(self.said[keyword], (*self.part, keyword)):
                    yield part, self.times


@dataclass(slots=True)
class _Counting:
    schema: Mapping[str, Any]
    _here: dict[Part, Looks] = field(default_factory=dict)
    _work: int = 0

    def most(self) -> int:
        first = self._looks(Counter({(): 1}))
        seen, waiting, most = {frozenset(first.items())}, [first], 0
        while waiting:
            looks = waiting.pop()
            most = max(most, looks.total())
            for below in self._below(looks):
                key = frozenset(below.items())
                if key not in seen:
                    seen.add(key)
                    waiting.append(below)
            if len(seen) > SCHEMA_PARTS_MAX:
                raise Endless((), f"more than {SCHEMA_PARTS_MAX} kinds of places in its values")
        return most

    def _looks(self, starting: Looks) -> Looks:
        """All parts that look at a place, given those that an outer part sends there."""
        found: Looks = Counter()
        for part, times in starting.items():
            for inner, inner_times in self._closure(part, ()).items():
                found[inner] += times * inner_times
        if found.total() > SCHEMA_CHECKS_PER_PLACE_MAX:
            heaviest = max(starting, key=starting.__getitem__)
            message = f"one place in a value may be checked more than {SCHEMA_CHECKS_PER_PLACE_MAX}"
            raise Endless(heaviest, f"{message} times")
        return found

    def _closure(self, part: Part, through: tuple[Part, ...]) -> Looks:
        """A part and those that look at the same place because of it."""
        known = self._here.get(part)
        if known is not None:
            return known
        if part in through or len(through) > JSON_DEPTH_MAX:
            raise Endless(part, "it refers to itself without going a step into the value")
        found: Looks = Counter((part,))
        for other in self._same_place(part):
            found.update(self._closure(other, (*through, part)))
            if found.total() > SCHEMA_CHECKS_PER_PLACE_MAX:
                break  # enough to be refused; counting on could take for ever
        if len(self._here) > SCHEMA_PARTS_MAX:
            raise Endless((), f"more than {SCHEMA_PARTS_MAX} parts")
        self._here[part] = found
        return found

    def _same_place(self, part: Part) -> Iterator[Part]:
        said = self._at(part)
        if not isinstance(said, dict):
            return
        for keyword in _HERE:
            if keyword in said:
                yield from _schemas(said[keyword], (*part, keyword))
        for keyword in _REFERENCES:
            target = said.get(keyword)
            if isinstance(target, str):
                yield self._target(target)

    def _below(self, looks: Looks) -> Iterator[Looks]:
        """What looks at each kind of place under one that these parts look at."""
        told = [
            _Told(part=part, said=said, times=times)
            for part, times in looks.items()
            if isinstance(said := self._at(part), dict)
        ]
        names = {name for one in told for name in one.named}
        self._work += (len(names) + 3) * len(told)
        if self._work > SCHEMA_STEPS_MAX:
            raise Endless((), "it takes too long to say how much work it makes")
        places = [[p for one in told for p in one.under_name(name)] for name in (*names, None)]
        places.append([p for one in told for p in one.under(_ITEMS)])
        places.append([p for one in told for p in one.under(("propertyNames",))])
        for place in places:
            starting: Looks = Counter()
            for part, times in place:
                starting[part] += times
            if starting:
                yield self._looks(starting)

    def _at(self, part: Part) -> Any:
        """What stands there; nothing where a reference leads nowhere, which others say better."""
        value: Any = self.schema
        for step in part:
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, dict):
                value = value.get(step)
            else:
                return None
        return value

    def _target(self, reference: str) -> Part:
        """The part that a reference inside the schema leads to."""
        if not reference.startswith("#"):
            return (reference,)  # outside, where nothing is looked at
        fragment = unquote(reference.removeprefix("#"))
        if not fragment.startswith("/"):
            return () if not fragment else self._anchored(fragment)
        return tuple(s.replace("~1", "/").replace("~0", "~") for s in fragment[1:].split("/"))

    def _anchored(self, name: str) -> Part:
        waiting: list[tuple[Part, Any]] = [((), self.schema)]
        while waiting:
            part, said = waiting.pop()
            if isinstance(said, dict):
                if name in (said.get("$anchor"), said.get("$dynamicAnchor")):
                    return part
                waiting += [((*part, key), value) for key, value in said.items()]
            elif isinstance(said, list):
                waiting += [((*part, str(i)), value) for i, value in enumerate(said)]
        return ()


def _schemas(value: Any, part: Part) -> Iterator[Part]:
    """The schemas a keyword holds: one, a list, or a mapping of names to them."""
    if isinstance(value, list):
        yield from ((*part, str(index)) for index in range(len(value)))
    elif part[-1] in ("patternProperties", "dependentSchemas") and isinstance(value, dict):
        yield from ((*part, name) for name in value)
    else:
        yield part
