"""One YAML file: its value, and the line of everything in it.

Read from the parser's events and resolved by YAML 1.2's core rules, so `no` is never silently
false, `0123` never 83 and `1:30` never 90: words and numbers that other readers would take
differently are refused. Anchors, aliases, tags, merge keys and second documents are deliberately
absent: a reviewer sees every value where it applies, and nothing can be expanded into a bomb.
"""

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

from quarterdeck.domain import limits
from quarterdeck.fleet.problems import Findings, Path, quoted, written

INTEGER_MAX: Final = 2**53 - 1  # beyond this, JSON readers disagree and digests are undefined
NUMBER_CHARACTERS_MAX: Final = 40
SHARED_CHARACTERS_MAX: Final = 32
WORDS: Final[Mapping[str, bool | None]] = {
    **{word: True for word in ("true", "True", "TRUE")},
    **{word: False for word in ("false", "False", "FALSE")},
    **{word: None for word in ("", "~", "null", "Null", "NULL")},
}
# Text in YAML 1.2, a boolean in YAML 1.1: whoever wrote it may have meant either.
TWO_FACED: Final = frozenset(("yes", "no", "on", "off"))
NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
INTEGER: Final = re.compile(r"[-+]?[0-9]+")
DECIMAL: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

# The C parser when PyYAML was built with it: ten times faster on a large fleet, same events.
_Parser: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Json: TypeAlias = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML file as values, with the line of each value and of each key."""

    file: str
    value: dict[str, Any]
    lines: Mapping[Path, int]
    key_lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of what is at `path`, or of the nearest thing around it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def key_line(self, path: Path) -> int:
        """The line of the key at `path`: where an unknown field is to be looked for."""
        return self.key_lines.get(path) or self.line(path)


def text_of(file: str, content: bytes, found: Findings) -> str | None:
    """The text of a file, or nothing and a problem: too large, or not UTF-8."""
    if len(content) > limits.FLEET_FILE_BYTES_MAX:
        message = f"the file is larger than {limits.FLEET_FILE_BYTES_MAX} bytes"
        found.add(file, message, "split it, or keep material that agents read somewhere else")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found.add(file, "the file is not UTF-8", "save it as UTF-8", line=line)
        return None


def read(file: str, content: bytes, found: Findings) -> Document | None:
    """The document in a YAML file, or nothing if a problem was found in it."""
    text = text_of(file, content, found)
    if text is None:
        return None
    before = len(found.problems)
    reading = _Reading(file, text, found)
    value = reading.document()
    if len(found.problems) > before:
        return None
    return Document(file=file, value=value, lines=reading.lines, key_lines=reading.key_lines)


class _Broken(Exception):
    """Reading cannot go on; the problem has been noted."""


class _Reading:
    """The state of reading one file: the parser, what it found, and where."""

    def __init__(self, file: str, text: str, found: Findings) -> None:
        self.file = file
        self.text = text
        self.found = found
        self.lines: dict[Path, int] = {}
        self.key_lines: dict[Path, int] = {}

    def document(self) -> dict[str, Any]:
        try:
            self.parser = _Parser(self.text)
            return self._whole()
        except yaml.YAMLError as error:
            self._syntax(error)
        except _Broken:
            pass
        return {}

    def _whole(self) -> dict[str, Any]:
        self.parser.get_event()
        if self.parser.check_event(yaml.StreamEndEvent):
            self._refuse(1, (), "the file is empty", "write `field: value` lines")
            return {}
        self.parser.get_event()
        value = self._value(())
        self.parser.get_event()
        if not self.parser.check_event(yaml.StreamEndEvent):
            line = self.parser.peek_event().start_mark.line + 1
            self._refuse(line, (), "a second YAML document", "keep one per file; remove `---`")
        if not isinstance(value, dict):
            self._refuse(
                self.lines[()], (), "the file is not a mapping", "write `field: value` lines"
            )
            return {}
        return value

    def _value(self, path: Path) -> _Json:
        event = self.parser.get_event()
        line = event.start_mark.line + 1
        self.lines[path] = line
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            name = quoted(event.anchor)
            self._refuse(line, path, f"anchor or alias {name}", "write the value out")
            if isinstance(event, yaml.AliasEvent):
                return None
        if event.tag is not None:
            self._refuse(
                line, path, f"tag {quoted(event.tag)}", "remove it; types come from the schema"
            )
        if isinstance(event, yaml.ScalarEvent):
            text = event.value
            return _shared(text) if event.style else self._plain(text, line, path)
        if len(path) >= limits.JSON_DEPTH_MAX:
            self._refuse(line, path[:3], "values are nested too deep", "make it flatter")
            raise _Broken
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _sequence(self, path: Path) -> list[_Json]:
        items: list[_Json] = []
        while not self.parser.check_event(yaml.SequenceEndEvent):
            items.append(self._value((*path, len(items))))
        self.parser.get_event()
        return items

    def _mapping(self, path: Path) -> dict[str, _Json]:
        fields: dict[str, _Json] = {}
        while not self.parser.check_event(yaml.MappingEndEvent):
            event = self.parser.peek_event()
            line = event.start_mark.line + 1
            name = self._key(path)
            if name in fields:
                first = self.key_lines[(*path, name)]
                hint = f"keep one; the first is on line {first}"
                self._refuse(line, (*path, name), "written twice", hint)
                self._value((*path, name))
                continue
            self.key_lines[(*path, name)] = line
            fields[name] = self._value((*path, name))
        self.parser.get_event()
        return fields

    def _key(self, path: Path) -> str:
        event = self.parser.get_event()
        line = event.start_mark.line + 1
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(line, path, "a key that is not text", "write `field: value`")
            raise _Broken
        name = _shared(str(event.value))
        if event.anchor is not None or event.tag is not None:
            self._refuse(line, path, f"tag or anchor on the key {quoted(name)}", "remove it")
        if not event.style and (name == "<<" or _is_not_text(name)):
            hint = "write the fields out" if name == "<<" else f'put it in quotes: "{name[:40]}"'
            self._refuse(line, path, f"key {quoted(name)} is not text", hint)
        return name

    def _plain(self, word: str, line: int, path: Path) -> _Json:
        """An unquoted scalar by the core rules; what could be read in two ways is refused."""
        if word in WORDS:
            return WORDS[word]
        if word.lower() in TWO_FACED:
            meant = "true" if word.lower() in ("yes", "on") else "false"
            hint = f'write `{meant}`, or put it in quotes: "{word}"'
            self._refuse(line, path, f"{quoted(word)} can mean a word or true or false", hint)
            return None
        if NOT_FINITE.fullmatch(word):
            self._refuse(line, path, f"{quoted(word)} is not a number", "write a finite number")
            return None
        if INTEGER.fullmatch(word) or DECIMAL.fullmatch(word):
            return self._number(word, line, path)
        return _shared(word)

    def _number(self, word: str, line: int, path: Path) -> int | float | None:
        digits = word.lstrip("-+")
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            hint = f'write `{digits.lstrip("0") or "0"}`, or put it in quotes: "{word[:40]}"'
            self._refuse(line, path, f"{quoted(word)} starts with 0", hint)
            return None
        if len(word) <= NUMBER_CHARACTERS_MAX:
            number = int(word) if INTEGER.fullmatch(word) else float(word)
            if abs(number) <= INTEGER_MAX or (isinstance(number, float) and math.isfinite(number)):
                return number
        self._refuse(line, path, f"{quoted(word)} is too large a number", "put it in quotes")
        return None

    def _syntax(self, error: yaml.YAMLError) -> None:
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            line = error.problem_mark.line + 1
            message, hint = _syntax_words(error, self._line_text(line), line)
        else:
            # The reader stops at a character that no YAML file may hold; it names only an offset.
            at = next((i for i, c in enumerate(self.text) if _is_control(c)), 0)
            line = self.text.count("\n", 0, at) + 1
            message, hint = "a control character", "remove it"
        self._refuse(line, (), message, hint)

    def _line_text(self, line: int) -> str:
        lines = self.text.split("\n")
        return lines[line - 1] if line <= len(lines) else ""

    def _refuse(self, line: int, path: Path, message: str, hint: str) -> None:
        self.found.add(self.file, message, hint, line=line, at=written(path))


def _shared(text: str) -> str:
    """One copy of a short text: fields, types and effects are the same in thousands of files."""
    return sys.intern(text) if len(text) <= SHARED_CHARACTERS_MAX else text


def _is_not_text(word: str) -> bool:
    return (
        word in WORDS
        or word.lower() in TWO_FACED
        or DECIMAL.fullmatch(word) is not None
        or NOT_FINITE.fullmatch(word) is not None
    )


def _is_control(character: str) -> bool:
    return not (character.isprintable() or character in "\t\n\r\x85\xa0\u2028\u2029")


def _syntax_words(error: yaml.MarkedYAMLError, text: str, line: int) -> tuple[str, str]:
    problem = error.problem or "it does not parse"
    indent = text[: len(text) - len(text.lstrip())]
    if "\t" in indent:
        return "a tab used for indentation", "write spaces"
    if "cannot start any token" in problem:
        return "a character that cannot start a value", "put the value in quotes"
    if "mapping values are not allowed" in problem:
        return "a second `:` in one value", "put the value in quotes"
    start = error.context_mark.line + 1 if error.context_mark else line
    begun = f" (begun on line {start})" if start != line else ""
    return f"not valid YAML: {problem}{begun}", "check indentation, brackets and quotes here"
