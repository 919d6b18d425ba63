"""The JSON Schemas of tools' contracts: draft 2020-12, self-contained, closed.

A misspelt keyword in a JSON Schema constrains nothing and says nothing, so unknown keywords are
refused; so is every reference that leaves the schema. Patterns are matched in linear time, which
rules out look-around and back-references: arguments come from models.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs

from quarterdeck.domain.limits import (
    PATTERN_BYTES_LIGHT,
    PATTERN_BYTES_MAX,
    PATTERN_TEXT_BYTES_MAX,
    VALUE_CHECKS_MAX,
)
from quarterdeck.domain.tools import Tool
from quarterdeck.fleet.problems import Path, instead, quoted
from quarterdeck.fleet.schema_checks import Endless, checks_at_most

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
COMPILED_MAX: Final = 1024  # contracts kept ready: one of many patterns takes 40 KB, and 0.1 ms
_SMALL_BYTES: Final = 16 * 1024  # so short a value is checked in time by any schema that loads
#: Keywords that already say what happens to properties nobody named.
_CLOSERS: Final = frozenset(
    ("additionalProperties", "unevaluatedProperties", "$ref", "allOf", "anyOf", "oneOf", "if")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """Why a value does not fit: where in it, where in the schema, and in words."""

    where: str
    rule: str
    message: str

    def told(self) -> str:
        """Without the value: what nobody described may be what nobody should see."""
        return f"see `/{self.rule}` of its schema" if self.rule else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A compiled schema, with what it takes to check one place of a value against it."""

    validator: jsonschema_rs.Validator
    checks: int
    is_light: bool

    def misfit(self, value: object, written: bytes) -> Misfit | None:
        """Why a value does not fit, if it does not; `written` is the JSON it was read from.

        What would take too long to check does not fit: nothing can stop a check that runs.
        """
        if len(written) > _SMALL_BYTES and (because := self._too_large(written)) is not None:
            return Misfit(where="", rule="", message=because)
        try:
            self.validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return Misfit(
                where="/".join(str(step) for step in error.instance_path),
                rule="/".join(str(step) for step in error.schema_path),
                message=error.message,
            )
        except ValueError:  # deeper than the checker goes
            return Misfit(where="", rule="", message="nested too deep to be checked")
        return None

    def _too_large(self, written: bytes) -> str | None:
        places = written.count(b",") + written.count(b"[") + written.count(b"{") + 1
        if places * self.checks > VALUE_CHECKS_MAX:
            return f"too large to be checked: {places} values, {self.checks} checks each"
        if not self.is_light and len(written) > PATTERN_TEXT_BYTES_MAX:
            return f"more than {PATTERN_TEXT_BYTES_MAX} bytes for patterns as large as these"
        return None


def fit(schema: Mapping[str, Any]) -> Fit:
    """A schema compiled: the same when it is checked and when it is used."""
    checks = checks_at_most(schema)  # first: what has no bound may have none when compiled
    try:
        compiled, is_light = validator(schema, PATTERN_BYTES_LIGHT), True
    except jsonschema_rs.ValidationError:
        compiled, is_light = validator(schema), False
    return Fit(validator=compiled, checks=checks, is_light=is_light)


def validator(
    schema: Mapping[str, Any], pattern_bytes: int = PATTERN_BYTES_MAX
) -> jsonschema_rs.Validator:
    """The bare checker of a schema: offline, with formats, patterns in linear time."""
    return jsonschema_rs.Draft202012Validator(
        dict(schema),
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=pattern_bytes),
        offline=True,
    )


# Compiled contracts by the tool's digest, which never changes its meaning.
_ARGUMENTS: Final[dict[str, Fit]] = {}
_RESULTS: Final[dict[str, Fit]] = {}


def arguments_misfit(tool: Tool, value: object, written: bytes) -> Misfit | None:
    """Why arguments do not fit a tool's contract, if they do not."""
    return _of(_ARGUMENTS, tool.digest, tool.arguments).misfit(value, written)


def results_misfit(tool: Tool, value: object, written: bytes) -> Misfit | None:
    """Why a result does not fit a tool's contract, if it does not; one without a schema fits."""
    if tool.results is None:
        return None
    return _of(_RESULTS, tool.digest, tool.results).misfit(value, written)


def _of(known: dict[str, Fit], digest: str, schema: Mapping[str, Any]) -> Fit:
    found = known.get(digest)
    if found is None:
        if len(known) >= COMPILED_MAX:
            del known[next(iter(known))]  # the first; without one a call is checked in time, too
        found = known[digest] = fit(schema)
    return found


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
        fit(schema)
    except jsonschema_rs.ValidationError as error:
        path: Path = tuple(error.instance_path)
        yield path, *_words(path, str(error.message), schema)
    except Endless as error:
        hint = "let at most one alternative refer back under each name, or write the levels out"
        yield _known(error.part), str(error), hint


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


def _known(part: tuple[str, ...]) -> Path:
    """A place in a schema as documents count it: items of lists by number."""
    return tuple(int(step) if step.isdigit() else step for step in part)


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
