"""The pages of the documentation, and what can be read out of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.docs.terminals import ROOT

_LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCED: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_TYPED: Final = re.compile(r"^(?:\$ )?(quarterdeck [a-z-].*)$", re.MULTILINE)
_EVALUATED: Final = re.compile(r"\$\((quarterdeck [^)]*)\)")
_SHELL: Final = ("", "console", "sh")


def paths() -> list[Path]:
    """Every page, from the root of the repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def read(path: str | Path) -> str:
    """The text of a page."""
    return (ROOT / path).read_text(encoding="utf-8")


def links(text: str) -> list[str]:
    """Targets of a page's links, outside of examples."""
    return _LINK.findall(_FENCED.sub("", text))


def anchors(text: str) -> set[str]:
    """What a page's headings can be linked by."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(_FENCED.sub("", text))
    }


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading (or a comment), without its head."""
    _, _, below = text.partition(heading)
    assert below, f"no {heading}"
    rows: list[list[str]] = []
    for line in below.splitlines()[1:]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def tables(text: str) -> list[list[str]]:
    """The rows of all tables of a page, without their heads."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        if re.match(r"\|[ :|-]+\|$", line):
            rows.pop()
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def commands(text: str) -> Iterator[str]:
    """Every `quarterdeck …` of a page's examples and of its running text."""
    for block in _FENCED.findall(text):
        if block.removeprefix("```").partition("\n")[0].split(" ")[0] in _SHELL:
            yield from _TYPED.findall(block)
            yield from _EVALUATED.findall(block)
    yield from re.findall(r"`(quarterdeck [a-z-][^`…]*)`", _FENCED.sub("", text))
