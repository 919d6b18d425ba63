"""Schemas of OpenAPI 3.0 and 3.1 as strict JSON Schema 2020-12, complete in themselves.

What 3.0 writes in its own way is written in the standard's; what only documents is left out. A
local reference becomes one into `$defs`; any other is refused, and nothing is ever fetched.
What cannot be said strictly is `Unfit`, for the one operation that needs it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import jsonschema_rs

from quarterdeck.domain.limits import OPENAPI_SCHEMA_PARTS_MAX
from quarterdeck.fleet.contracts import LIST, NAMED, ONE, PLAIN, validator
from quarterdeck.fleet.documents import INTEGER_MAX
from quarterdeck.fleet.problems import printable, quoted

#: Of which message a schema is: what is only read is not sent, and the other way round.
Side: TypeAlias = Literal["request", "response"]
_DEPTH_MAX: Final = 48
_DESCRIPTION_CHARACTERS_MAX: Final = 1000
#: Keywords that are left out: they describe, or are said in another way here.
DOCUMENTING: Final = frozenset(
    (
        *("$anchor", "$comment", "$dynamicAnchor", "$id", "$schema", "$vocabulary"),
        *("deprecated", "discriminator", "example", "examples", "externalDocs"),
        *("nullable", "readOnly", "title", "writeOnly", "xml"),
    )
)
#: Formats that name how a value is stored, not how it is written.
_STORED: Final = frozenset(("int32", "int64", "float", "double", "byte", "binary", "password"))
_HIDDEN: Final = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class Unfit(Exception):
    """Why an operation cannot be imported."""


def shown(text: object, most: int = _DESCRIPTION_CHARACTERS_MAX) -> str:
    """What somebody else wrote, as one line that shows all it says."""
    if not isinstance(text, str):
        return ""
    line = printable(_HIDDEN.sub("", " ".join(text.split())))
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def resolved(document: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """An object of the document, through local references."""
    for _ in range(_DEPTH_MAX):
        if not isinstance(value, dict):
            raise Unfit("something in it is not an object where one must be")
        reference = value.get("$ref")
        if reference is None:
            return value
        value = at(document, reference)
    raise Unfit("a `$ref` in it leads back to itself")


def at(document: Mapping[str, Any], reference: object) -> Any:
    """What a local reference (RFC 6901) points at."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise Unfit(f"{quoted(reference)} is outside this file, and nothing is fetched")
    found: Any = document
    for step in reference[2:].split("/"):
        name = _unescaped(step)
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise Unfit(f"{quoted(reference)} leads nowhere")
    return found


def _unescaped(step: str) -> str:
    decoded = re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), step)
    return decoded.replace("~1", "/").replace("~0", "~")


@dataclass(slots=True)
class Schemas:
    """Converts the schemas of one message; `notes` says what was left out."""

    document: Mapping[str, Any]
    side: Side
    notes: list[str] = field(default_factory=list)
    _definitions: dict[str, Any] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _waiting: list[tuple[str, Any]] = field(default_factory=list)
    _parts: int = 0

    def converted(self, schema: Any) -> dict[str, Any]:
        """A schema without its `$defs`, which `definitions` holds once all are converted."""
        found = self._schema(schema, 0)
        return found if isinstance(found, dict) else ({} if found else {"not": {}})

    def definitions(self) -> dict[str, Any]:
        """Everything that was referred to, as `$defs`."""
        while self._waiting:  # one after the other: what refers to itself is here already
            name, target = self._waiting.pop()
            self._definitions[name] = self._schema(target, 0)
        return {"$defs": dict(sorted(self._definitions.items()))} if self._definitions else {}

    def _schema(self, schema: Any, depth: int) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise Unfit("a schema in it is neither an object nor true or false")
        self._parts += 1
        if self._parts > OPENAPI_SCHEMA_PARTS_MAX:
            raise Unfit(f"its schemas have more than {OPENAPI_SCHEMA_PARTS_MAX} parts")
        if depth > _DEPTH_MAX:
            raise Unfit("its schemas are nested too deep")
        made = {}
        for keyword, value in schema.items():
            if keyword in DOCUMENTING or keyword.startswith("x-"):
                continue
            said = self._keyword(keyword, value, depth + 1)
            if said is not None:
                made[keyword] = said
        self._bounds(schema, made)
        self._sided(schema, made)
        return _nullable(made) if schema.get("nullable") is True else made

    def _keyword(self, keyword: str, value: Any, depth: int) -> Any:
        if keyword == "$ref":
            return self._reference(value)
        if keyword in ONE:
            return self._schema(value, depth)
        if keyword in LIST:
            if not isinstance(value, list) or not value:
                raise Unfit(f"`{keyword}` in it is not a list of schemas")
            return [self._schema(part, depth) for part in value]
        if keyword in NAMED:
            return self._named(keyword, value, depth)
        if keyword == "pattern":
            return self._pattern(value)
        if keyword in PLAIN:
            return self._plain(keyword, value)
        self.notes.append(f"the keyword {quoted(keyword)} was left out: it is not JSON Schema's")
        return None

    def _named(self, keyword: str, value: Any, depth: int) -> Any:
        if keyword == "$defs":
            return None  # what of them is referred to comes by reference
        if not isinstance(value, dict):
            raise Unfit(f"`{keyword}` in it is not an object")
        if keyword == "patternProperties" and any(self._pattern(p) is None for p in value):
            raise Unfit("a pattern in it cannot be matched in linear time")
        return {
            name: self._schema(part, depth)
            for name, part in value.items()
            if not (keyword == "properties" and self._is_other_side(part))
        }

    def _plain(self, keyword: str, value: Any) -> Any:
        if keyword == "$dynamicRef":
            raise Unfit("it uses `$dynamicRef`")
        if keyword == "description":
            return shown(value) or None
        if keyword == "format":
            return value if isinstance(value, str) and value not in _STORED else None
        if keyword in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool):
            return None  # OpenAPI 3.0; see _bounds
        if not _is_small(value):
            if keyword in ("enum", "const"):
                raise Unfit(f"`{keyword}` in it holds a number beyond 2^53")
            return None  # a bound that no number we take can pass
        return value

    def _reference(self, reference: Any) -> str:
        name = self._names.get(str(reference))
        if name is None:
            name = self._name(str(reference))
            self._waiting.append((name, at(self.document, reference)))
        return f"#/$defs/{name}"

    def _name(self, reference: str) -> str:
        last = (
            re.sub(r"[^A-Za-z0-9_]+", "_", _unescaped(reference.rsplit("/", 1)[1]))[:60] or "part"
        )
        taken, name, count = set(self._names.values()), last, 1
        while name in taken:
            count += 1
            name = f"{last}_{count}"
        self._names[reference] = name
        return name

    def _pattern(self, value: Any) -> str | None:
        try:
            validator({"pattern": value})
        except (jsonschema_rs.ValidationError, ValueError):
            self.notes.append(
                f"the pattern {quoted(value)} was left out: it cannot be matched in linear time"
            )
            return None
        return str(value)

    def _bounds(self, schema: Mapping[str, Any], made: dict[str, Any]) -> None:
        """`exclusiveMinimum: true` beside `minimum` (OpenAPI 3.0) is a bound of its own."""
        for bound, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if schema.get(bound) is True and plain in made:
                made[bound] = made.pop(plain)

    def _sided(self, schema: Mapping[str, Any], made: dict[str, Any]) -> None:
        """What is only of the other message is not required in this one."""
        properties, required = schema.get("properties"), made.get("required")
        if isinstance(properties, dict) and isinstance(required, list):
            kept = [n for n in required if not self._is_other_side(properties.get(str(n)))]
            made["required"] = kept
            if not kept:
                del made["required"]

    def _is_other_side(self, schema: Any) -> bool:
        word = "readOnly" if self.side == "request" else "writeOnly"
        return isinstance(schema, dict) and schema.get(word) is True


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.0: `null` besides what the schema says."""
    kind = schema.get("type")
    if isinstance(kind, str) and not schema.keys() & {"$ref", "allOf", "anyOf", "oneOf", "const"}:
        made = schema | {"type": [kind, "null"]}
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return made
    if not schema:
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def _is_small(value: Any) -> bool:
    """Whether every number in a value is one that all readers of JSON read alike."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(value) <= INTEGER_MAX
    if isinstance(value, list):
        return all(_is_small(item) for item in value)
    if isinstance(value, dict):
        return all(_is_small(item) for item in value.values())
    return True
