"""The JSON Schemas of tools' contracts: draft 2020-12, self-contained, closed.

A misspelt keyword in a JSON Schema constrains nothing and says nothing, so unknown keywords are
refused; so is every reference that leaves the schema. Patterns are matched in linear time, which
rules out look-around and back-references: arguments come from models.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema_rs

from quarterdeck.fleet.problems import Path, instead, quoted

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Keywords whose value is a schema, a list of schemas, or a mapping of names to schemas.
ONE: Final = frozenset(
    (
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
LIST: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
NAMED: Final = frozenset(("$defs", "dependentSchemas", "patternProperties", "properties"))
PLAIN: Final = frozenset(
    (
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$dynamicRef",
        "$ref",
        "$schema",
        "const",
        "contentEncoding",
        "contentMediaType",
        "default",
        "dependentRequired",
        "deprecated",
        "description",
        "enum",
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "readOnly",
        "required",
        "title",
        "type",
        "uniqueItems",
        "writeOnly",
    )
)
KEYWORDS: Final = tuple(sorted(ONE | LIST | NAMED | PLAIN))
#: Keywords that already say what happens to properties nobody named.
_CLOSERS: Final = frozenset(
    ("additionalProperties", "unevaluatedProperties", "$ref", "allOf", "anyOf", "oneOf", "if")
)


def validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """The compiled schema of a contract: the same when it is checked and when it is used."""
    return jsonschema_rs.Draft202012Validator(
        dict(schema),
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(),
        offline=True,
    )


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of arguments, refusing what it does not name unless it says otherwise."""
    if _CLOSERS & schema.keys():
        return dict(schema)
    return {**schema, "additionalProperties": False}


def faults(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """What is wrong with a schema: the place inside it, the message, the hint."""
    found = list(_keywords(schema, ()))
    yield from found
    if found:
        return
    try:
        validator(schema)
    except jsonschema_rs.ValidationError as error:
        path: Path = tuple(error.instance_path)
        yield path, *_words(path, str(error.message), schema)


def argument_faults(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """As `faults`, and that arguments are an object with properties."""
    if schema.get("type") != "object":
        yield (), "the arguments of a tool are an object", "write `type: object`"
    yield from faults(schema)


def _keywords(schema: object, path: Path) -> Iterator[tuple[Path, str, str]]:
    """Unknown keywords and references to elsewhere, wherever a schema stands."""
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        here = (*path, keyword)
        if keyword in ONE:
            yield from _keywords(value, here)
        elif keyword in LIST and isinstance(value, list):
            for index, part in enumerate(value):
                yield from _keywords(part, (*here, index))
        elif keyword in NAMED and isinstance(value, dict):
            for name, part in value.items():
                yield from _keywords(part, (*here, name))
        elif keyword not in KEYWORDS and not keyword.startswith("x-"):
            yield here, f"unknown keyword {quoted(keyword)}", instead(keyword, KEYWORDS)
        else:
            yield from _elsewhere(keyword, value, here)


def _elsewhere(keyword: str, value: object, here: Path) -> Iterator[tuple[Path, str, str]]:
    if keyword == "$schema" and value != DRAFT:
        yield here, f"{quoted(value)} is not the draft used here", f"write `{DRAFT}`, or nothing"
    is_reference = keyword in ("$ref", "$dynamicRef") and isinstance(value, str)
    if is_reference and not str(value).startswith("#"):
        hint = "copy the schema under `$defs` and refer to it as `#/$defs/NAME`"
        yield here, f"{quoted(value)} is outside this file", hint


def _words(path: Path, message: str, schema: Mapping[str, Any]) -> tuple[str, str]:
    at = path[-1] if path else ""
    if message.startswith("Pointer "):
        names = schema.get("$defs")
        known = [f"#/$defs/{name}" for name in names] if isinstance(names, dict) else []
        hint = instead("", known) if known else "add what it refers to under `$defs`"
        return "a `$ref` that leads nowhere", hint
    if at == "pattern" or (path and "patternProperties" in path):
        hint = "check its brackets; look-around and back-references cannot be used"
        return "not a pattern that can be matched in linear time", hint
    if at == "type":
        types = ["array", "boolean", "integer", "null", "number", "object", "string"]
        value: Any = schema
        for step in path:
            value = value[step]
        wrong = next((v for v in value if v not in types), "") if isinstance(value, list) else value
        return f"{quoted(wrong)} is no type", instead(str(wrong), types)
    shown = message if len(message) <= 200 else message[:200] + "…"
    return f"not a JSON Schema: {shown}", "see the 2020-12 draft for what this keyword takes"
