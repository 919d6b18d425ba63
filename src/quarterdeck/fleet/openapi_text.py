"""The text of an OpenAPI file as values: JSON, or YAML without what could be expanded or run.

Unlike fleet files, these are written by others and read once: numbers as keys are taken as text,
dates and `yes` as words. Anchors, aliases and tags are refused, and so is what is nested too deep
to be walked through safely.
"""

import math
from typing import Any, Final

import orjson
import yaml

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import (
    JSON_DEPTH_MAX,
    OPENAPI_JSON_BYTES_MAX,
    OPENAPI_YAML_BYTES_MAX,
)
from quarterdeck.fleet.documents import DECIMAL, INTEGER, WORDS
from quarterdeck.fleet.problems import quoted

_Parser: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DIGITS_MAX: Final = 40


def read(content: bytes) -> dict[str, Any]:
    """The document in a file. Raises Invalid, in words that say what to do."""
    is_json = content.lstrip()[:1] in (b"{", b"[")
    most = OPENAPI_JSON_BYTES_MAX if is_json else OPENAPI_YAML_BYTES_MAX
    if len(content) > most:
        hint = "save it as JSON, which may be larger" if not is_json else "split it"
        raise Invalid(f"the file is larger than {most} bytes", hint=hint)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("the file is not UTF-8", hint="save it as UTF-8") from error
    value = _json(text) if is_json else _yaml(text)
    if not isinstance(value, dict):
        raise Invalid("the file is no OpenAPI document", hint="it begins with `openapi: 3.1.0`")
    return value


def _json(text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the file is not JSON: {error}", hint="correct it there") from error
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value
    raise _too_deep()


def _yaml(text: str) -> Any:
    try:
        return _Reading(text).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise Invalid(f"the file is not YAML{where}", hint="correct it there") from error


class _Reading:
    """Builds values from the parser's events, without a stack of calls."""

    def __init__(self, text: str) -> None:
        self.events = yaml.parse(text, Loader=_Parser)
        self.open: list[tuple[dict[str, Any] | list[Any], str | None]] = []
        self.key: str | None = None
        self.root: Any = None
        self.documents = 0

    def document(self) -> Any:
        """The value of the only document."""
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    raise Invalid("the file holds a second document", hint="keep one")
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                value, self.key = self.open.pop()
                self._place(value)
        return self.root

    def _node(self, event: yaml.NodeEvent) -> None:
        line = 1 + (event.start_mark.line if event.start_mark is not None else 0)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            message = f"line {line}: anchor or alias {quoted(event.anchor)}"
            raise Invalid(message, hint="write the file without anchors; JSON has none")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise Invalid(f"line {line}: tag {quoted(tag)}", hint="remove it")
        if isinstance(event, yaml.ScalarEvent):
            is_key = self.open and isinstance(self.open[-1][0], dict) and self.key is None
            if is_key:
                self.key = str(event.value)
            else:
                self._place(event.value if event.style else _plain(event.value))
            return
        if len(self.open) >= JSON_DEPTH_MAX:
            raise _too_deep()
        if self.open and isinstance(self.open[-1][0], dict) and self.key is None:
            raise Invalid(f"line {line}: a key that is not text", hint="write `field: value`")
        made: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.open.append((made, self.key))
        self.key = None

    def _place(self, value: Any) -> None:
        if not self.open:
            self.root = value
            return
        holder, _ = self.open[-1]
        if isinstance(holder, list):
            holder.append(value)
            return
        assert self.key is not None
        holder[self.key] = value
        self.key = None


def _plain(word: str) -> Any:
    """An unquoted word by YAML 1.2's core rules."""
    if word in WORDS:
        return WORDS[word]
    if len(word) <= _DIGITS_MAX:
        if INTEGER.fullmatch(word):
            return int(word)
        if DECIMAL.fullmatch(word) and math.isfinite(number := float(word)):
            return number
    return word


def _too_deep() -> Invalid:
    return Invalid(
        f"the file is nested deeper than {JSON_DEPTH_MAX} levels",
        hint="refer to schemas under `components` instead of writing them into one another",
    )
