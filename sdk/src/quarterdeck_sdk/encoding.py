"""Values as JSON: what a function was called with, and what it returned."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from quarterdeck_sdk.errors import Unencodable

_NOT_JSON: Final = (TypeError, ValueError, RecursionError)


def encoded(value: Any) -> bytes:
    """A value as JSON; raises TypeError or ValueError where there is no honest way to write it."""
    return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False).encode()


def arguments(tool: str, given: Mapping[str, Any]) -> bytes:
    """The arguments of a call, each under its name."""
    parts = []
    for name, value in given.items():
        try:
            parts.append(json.dumps(name).encode() + b":" + encoded(value))
        except _NOT_JSON as error:
            raise Unencodable(
                f"the argument `{name}` of `{tool}` cannot be written as JSON: {error};"
                f" pass what can be, or leave it out of the decision: without=[{name!r}]"
            ) from error
    return b"{" + b",".join(parts) + b"}"


def given(agent: str, value: Mapping[str, Any]) -> bytes:
    """What a run is given."""
    try:
        return encoded(dict(value))
    except _NOT_JSON as error:
        message = f"what a run of `{agent}` is given cannot be written as JSON: {error}"
        raise Unencodable(message) from error


def result(value: Any) -> bytes:
    """What a function returned. It has happened, so what cannot be written only says its type."""
    try:
        return encoded(value)
    except _NOT_JSON:
        return encoded({"not_recorded": f"a {type(value).__name__}, which is not JSON"})


def _plain(value: Any) -> Any:
    """What json does not know: values with one obvious form."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case UUID() | Decimal() | PurePath():
            return str(value)
        case Enum():
            return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    dump = getattr(value, "model_dump", None)  # pydantic's, without importing it
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json")
    raise TypeError(f"a {type(value).__name__} is not JSON")
