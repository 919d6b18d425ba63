"""What the schema found in a document, in words that say where and what to write instead."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from quarterdeck.fleet.documents import Document
from quarterdeck.fleet.fields import PATTERN_HINTS
from quarterdeck.fleet.problems import Findings, Path, instead, quoted, written
from quarterdeck.fleet.schema import Entry

REFERENCE: Final = "see docs/reference/fleet-folder.md"
EntryT = TypeVar("EntryT", bound=Entry)


def checked(model: type[EntryT], document: Document, found: Findings) -> EntryT | None:
    """The document as a checked entry, or nothing and the problems it has."""
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            _explain(model, document, details, found)
        return None


def _explain(
    model: type[Entry], document: Document, details: ErrorDetails, found: Findings
) -> None:
    # Pydantic ends the place of a wrong key with a mark that is no part of the document.
    of_key = details["loc"][-1:] == ("[key]",)
    path: Path = details["loc"][:-1] if of_key else details["loc"]
    kind = details["type"]
    line = document.line(path)
    if kind == "missing":
        message, hint = _missing(model, path)
    elif kind == "extra_forbidden":
        line = document.key_line(path)
        message = f"unknown field {quoted(path[-1])}"
        hint = instead(str(path[-1]), sorted(_fields(model, path[:-1])))
        path = path[:-1]
    else:
        line = document.key_line(path) if of_key else line
        message, hint = WORDS.get(kind, _anything)(details)
    found.add(document.file, message, hint, line=line, at=written(path))


def _missing(model: type[Entry], path: Path) -> tuple[str, str]:
    field = _fields(model, path[:-1])[str(path[-1])]
    example = field.examples[0] if field.examples else ""
    return "missing", f"add `{path[-1]}: {example}`".replace(": `", ":`")


def _fields(model: type[BaseModel], path: Path) -> Mapping[str, FieldInfo]:
    """The fields of the entry at `path`, found by walking the models as the document is walked."""
    here: Any = model
    for step in path:
        if _is_entry(here):
            here = _present(here.model_fields[str(step)].annotation)
        else:
            here = get_args(here)[-1]  # the items of a list, the values of a mapping
    return here.model_fields if _is_entry(here) else {}


def _present(annotation: Any) -> Any:
    """What a field holds when it is not left out: `X` of `X | None`."""
    parts = get_args(annotation)
    return parts[0] if type(None) in parts else annotation


def _is_entry(candidate: object) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _not_text(details: ErrorDetails) -> tuple[str, str]:
    value = details["input"]
    if value is None:
        return "empty", "write text"
    if isinstance(value, bool | int | float):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"{quoted(text)} is not text", f'put it in quotes: "{text}"'
    return "not text", "write text"


def _choice(details: ErrorDetails) -> tuple[str, str]:
    known = re.findall(r"'([^']*)'", details["ctx"]["expected"])
    value = details["input"]
    if not isinstance(value, str):
        return "not one of the words known here", instead("", known)
    return f"{quoted(value)} is not one of the words known here", instead(value, known)


def _pattern(details: ErrorDetails) -> tuple[str, str]:
    hint = PATTERN_HINTS.get(details["ctx"]["pattern"], "write it without spaces")
    return f"{quoted(details['input'])} does not fit", hint


def _number(details: ErrorDetails) -> tuple[str, str]:
    return f"{_shown(details)} is not a whole number", "write digits only, such as `20`"


def _bounds(details: ErrorDetails) -> tuple[str, str]:
    bound = next(iter(details["ctx"].values()))
    side = "at least" if details["type"].startswith("greater") else "at most"
    return f"{_shown(details)} is out of bounds", f"write {side} {bound}"


def _length(details: ErrorDetails) -> tuple[str, str]:
    context = details["ctx"]
    if "max_length" in context:
        return "too long", f"write at most {context['max_length']}"
    return "empty", f"write at least {context['min_length']}"


def _custom(details: ErrorDetails) -> tuple[str, str]:
    return details["msg"], details["ctx"]["hint"]


def _anything(details: ErrorDetails) -> tuple[str, str]:
    return details["msg"][:1].lower() + details["msg"][1:], REFERENCE


def _shown(details: ErrorDetails) -> str:
    value = details["input"]
    return (
        quoted("empty" if value is None else value) if not isinstance(value, dict | list) else "it"
    )


def _always(message: str, hint: str) -> Callable[[ErrorDetails], tuple[str, str]]:
    return lambda details: (message, hint)


_MAPPING: Final = _always("not a mapping", "write `field: value` lines under it")

#: How each kind of finding is put; kinds that are not here use the schema's own words.
WORDS: Final[Mapping[str, Callable[[ErrorDetails], tuple[str, str]]]] = {
    "string_type": _not_text,
    "bool_type": _always("not true or false", "write `true` or `false`"),
    "int_type": _number,
    "int_from_float": _number,
    "list_type": _always("not a list", "write `[one, two]`, or one `- item` a line"),
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "greater_than_equal": _bounds,
    "less_than_equal": _bounds,
    "string_too_short": _length,
    "string_too_long": _length,
    "too_short": _length,
    "too_long": _length,
    "amount": _custom,
    "secret": _custom,
    "url": _custom,
    "path": _custom,
}
