"""What is wrong with a fleet folder, said so that its writer can put it right.

Every problem names the file, the line, the field and what to write instead. All of them are
collected before anything is refused: one round of corrections, not one per mistake.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, TypeAlias

from quarterdeck.domain.errors import Invalid

Path: TypeAlias = tuple[str | int, ...]

SHOWN_CHARACTERS_MAX: Final = 60  # of a value somebody wrote, inside a message
LISTED_NAMES_MAX: Final = 15
PROBLEMS_SHOWN_MAX: Final = 50  # in the error's own message; `.problems` holds all


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: where it is, what it is, and what to write instead."""

    file: str
    line: int
    field: str
    message: str
    hint: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.field}: {self.message}" if self.field else self.message
        return f"{where}: {what}; {self.hint}" if self.hint else f"{where}: {what}"


class FleetInvalid(Invalid):
    """The fleet folder does not describe a fleet; `problems` says where and why."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        shown = [str(problem) for problem in self.problems[:PROBLEMS_SHOWN_MAX]]
        if left := len(self.problems) - len(shown):
            shown.append(f"and {left} more")
        count = len(self.problems)
        title = f"the fleet folder has {count} problem{'' if count == 1 else 's'}"
        super().__init__("\n".join([title, *shown]), hint="correct the lines named and try again")


@dataclass(slots=True, kw_only=True)
class Findings:
    """The problems found so far; passed down so that one mistake never hides another."""

    problems: list[Problem] = field(default_factory=list)

    def add(self, file: str, message: str, hint: str, *, line: int = 0, at: str = "") -> None:
        """Note one more problem; what others wrote in it cannot steer a terminal or a page."""
        self.problems.append(
            Problem(
                file=printable(file),
                line=line,
                field=printable(at),
                message=printable(message),
                hint=printable(hint),
            )
        )

    def raise_if_any(self) -> None:
        """Refuse the folder if anything was found, in the order a reader would look."""
        if self.problems:
            unique = dict.fromkeys(self.problems)
            raise FleetInvalid(sorted(unique, key=lambda p: (p.file, p.line, p.field, p.message)))


def written(path: Path) -> str:
    """A field's path as people write it: `models.main.vendor`, `tools[1]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def printable(text: str) -> str:
    """Text on one line, without control, direction and zero-width characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


def quoted(value: object) -> str:
    """What somebody wrote, in backticks, of limited length."""
    clean = printable(str(value)).replace("`", "?")
    if len(clean) > SHOWN_CHARACTERS_MAX:
        clean = clean[:SHOWN_CHARACTERS_MAX] + "…"
    return f"`{clean}`"


def instead(wrong: str, known: Sequence[str]) -> str:
    """The hint for a name nobody knows: the close one if there is one, else the choice."""
    if close := get_close_matches(wrong, known, n=1, cutoff=0.7):
        return f"write {quoted(close[0])}"
    if not known:
        return "leave it out"
    listed = ", ".join(quoted(name) for name in known[:LISTED_NAMES_MAX])
    if (left := len(known) - LISTED_NAMES_MAX) > 0:
        listed += f" … ({left} more)"
    return f"write {'one of ' if len(known) > 1 else ''}{listed}"
