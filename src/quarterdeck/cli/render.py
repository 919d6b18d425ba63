"""How things look on a terminal: tables, times, money, errors. What others wrote cannot steer it.

People get tables that fit their terminal; what is not a terminal gets plain columns; `--json` gets
the API's body. NO_COLOR is respected.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:  # rich is loaded when something is printed
    from rich.console import Console

NARROW_COLUMNS: Final = 60
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # what colours and moves the cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]"
)
_UNSAFE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
_STATES: Final = {
    "ok": "green",
    "warn": "yellow",
    "unknown": "yellow",
    "fail": "red",
    "succeeded": "green",
    "done": "green",
    "failed": "red",
    "refused": "red",
    "deny": "red",
    "escalated": "yellow",
    "in_doubt": "yellow",
    "held": "yellow",
    "suggested": "yellow",
    "running": "cyan",
    "begun": "cyan",
}


def clean(text: object, *, lines: bool = False) -> str:
    """Text that cannot steer a terminal: no escapes, controls, direction marks, zero widths."""
    without = _ESCAPES.sub("", str(text))
    kept = []
    for character in without:
        if character in "\n\t":
            kept.append(character if lines else " ")
        elif unicodedata.category(character) not in _UNSAFE:
            kept.append(character)
    return "".join(kept)


def print_json(value: object) -> None:
    """JSON whose strings hold no raw control, direction or zero-width characters."""
    _write(safe_json(value) + "\n")


def safe_json(value: object) -> str:
    """The same, as text."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in _UNSAFE else _escaped(c) for c in text
    )


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) != 0x7F else "\\u007f"


def say(text: str = "") -> None:
    """A line for people."""
    _write(clean(text, lines=True) + "\n")


def warn(text: str) -> None:
    """A line for people, beside the output."""
    typer.echo(clean(text, lines=True), err=True)


def _write(text: str) -> None:
    stream = sys.stdout
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a terminal that is not UTF-8
        stream.write(text.encode(stream.encoding or "ascii", "backslashreplace").decode("ascii"))
    stream.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Rows under their columns (`>` aligns to the right); without any, what to do next."""
    written = [[clean("" if cell is None else cell) for cell in row] for row in rows]
    if not written:
        say(empty)
        return
    console = _console()
    if not console.is_terminal:
        _plain_table([name.lstrip(">") for name in columns], written)
    elif console.width < NARROW_COLUMNS:
        for row in written:
            fields(dict(zip((name.lstrip(">") for name in columns), row, strict=True)))
            say()
    else:
        _rich_table(console, columns, written)


@dataclass
class Rows:
    """A table that is printed page by page; its columns are as wide as the first page needs."""

    columns: Sequence[str]
    empty: str
    begun: bool = False
    widths: Sequence[int] = ()

    def add(self, rows: Sequence[Sequence[object]]) -> None:
        """Print some more rows."""
        if not rows:
            return
        if _console().is_terminal:
            table(self.columns, rows, empty="")
        else:
            self._add_plain([[clean("" if c is None else c) for c in row] for row in rows])
        self.begun = True

    def _add_plain(self, rows: list[list[str]]) -> None:
        names = [name.lstrip(">") for name in self.columns]
        lines = rows if self.begun else [names, *rows]
        if not self.begun:
            self.widths = [max(len(line[n]) for line in lines) for n in range(len(names))]
        for line in lines:
            padded = (cell.ljust(width) for cell, width in zip(line, self.widths, strict=True))
            _write("  ".join(padded).rstrip() + "\n")

    def end(self, following: str | None) -> None:
        """Say so if there was nothing."""
        if not self.begun:
            say(self.empty)


@dataclass
class Items:
    """The same as one JSON object, `{"items": […], "next": …}`, as a page of the API is."""

    begun: bool = False

    def add(self, items: Sequence[object]) -> None:
        """Print some more items."""
        for item in items:
            _write(",\n" if self.begun else '{\n  "items": [\n')
            _write("    " + safe_json(item).replace("\n", "\n    "))
            self.begun = True

    def end(self, following: str | None) -> None:
        """Close the object."""
        _write("\n  ],\n" if self.begun else '{\n  "items": [],\n')
        _write(f'  "next": {json.dumps(following)}\n}}\n')


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns two spaces apart, nothing cut off: for `grep` and `awk`."""
    lines = [list(columns), *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        _write("  ".join(padded).rstrip() + "\n")


def _rich_table(console: "Console", columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        shown.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left",
                         overflow="fold")  # fmt: skip
    for row in rows:
        shown.add_row(*(Text(cell, style=_STATES.get(cell, "")) for cell in row))
    console.print(shown)


def fields(pairs: Mapping[str, object]) -> None:
    """Names and values, one pair a line; long text goes below its name."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        text = clean("" if value is None else value, lines=True)
        if "\n" in text:
            indented = "\n".join(f"  {line}" for line in text.splitlines())
            _write(f"{name}\n{indented}\n")
        else:
            _write(f"{name.ljust(width)}  {text}\n".rstrip() + "\n")


def when(written: str | None) -> str:
    """A time of the API in this machine's own zone."""
    if not written:
        return ""
    return datetime.fromisoformat(written).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def money(written: str) -> str:
    """An amount in USD."""
    return f"{written} USD"


def compact(value: Any) -> str:
    """JSON for people to read."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)
