"""Checks arguments against the part of JSON Schema that the tools' definitions use."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: Control characters but tab and line feed, and halves of characters, which no encoding takes.
NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def problem(schema: Mapping[str, Any], value: Any, name: str = "arguments") -> str | None:
    """The first thing wrong with a value, in words, or nothing."""
    return next(_problems(schema, value, name), None)


def _problems(schema: Mapping[str, Any], value: Any, name: str) -> Iterator[str]:
    if not isinstance(value, TYPES[schema["type"]]):
        yield f"`{name}` must be of type {schema['type']}"
        return
    yield from CHECKS[schema["type"]](schema, value, name)


def _object(schema: Mapping[str, Any], value: Mapping[str, Any], name: str) -> Iterator[str]:
    properties = schema["properties"]
    for key in schema["required"]:
        if key not in value:
            yield f"`{key}` is missing from {name}"
    for key, held in value.items():
        if key in properties:
            yield from _problems(properties[key], held, key)
        else:
            yield f"{name} has an entry that is not known; known are {', '.join(properties)}"


def _array(schema: Mapping[str, Any], value: list[Any], name: str) -> Iterator[str]:
    if not schema["minItems"] <= len(value) <= schema["maxItems"]:
        yield f"`{name}` takes {schema['minItems']} to {schema['maxItems']} entries"
        return
    for held in value:
        yield from _problems(schema["items"], held, name)


def _string(schema: Mapping[str, Any], value: str, name: str) -> Iterator[str]:
    if NO_TEXT.search(value):
        yield f"`{name}` holds characters that are no text"
    elif len(value) > schema.get("maxLength", len(value)):
        yield f"`{name}` takes {schema['maxLength']} characters at most"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"`{name}` must be one of: {', '.join(schema['enum'])}"
    elif "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        yield f"`{name}` does not look right: {schema.get('description', 'see its pattern')}"


TYPES: dict[str, type] = {"object": dict, "array": list, "string": str}
CHECKS: dict[str, Callable[[Mapping[str, Any], Any, str], Iterator[str]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
}
