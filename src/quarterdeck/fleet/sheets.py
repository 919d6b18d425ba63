"""Files that passed their schema, and how a mistake between two of them is noted.

A file that was already found faulty still counts as existing, so that one mistake is reported
once and not again wherever its name is used.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from quarterdeck.domain.fleets import Cap
from quarterdeck.domain.money import nanousd
from quarterdeck.fleet.documents import Document
from quarterdeck.fleet.fields import USD_MAX
from quarterdeck.fleet.problems import Findings, Path, instead, quoted, written
from quarterdeck.fleet.schema import (
    AgentEntry,
    BudgetEntry,
    Entry,
    FleetEntry,
    ServerEntry,
    ToolEntry,
)

EntryT = TypeVar("EntryT", bound=Entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet(Generic[EntryT]):
    """A file that passed its schema, with the lines of what it says."""

    document: Document
    entry: EntryT
    found: Findings

    def note(self, path: Path, message: str, hint: str) -> None:
        """Note a problem with what stands at `path`."""
        line = self.document.line(path)
        self.found.add(self.document.file, message, hint, line=line, at=written(path))

    def knows(self, path: Path, noun: str, name: str, known: Collection[str]) -> bool:
        """Whether a name used at `path` exists; a problem is noted if it does not."""
        if name in known:
            return True
        self.note(path, f"no {noun} named {quoted(name)}", instead(name, sorted(known)))
        return False


@dataclass(frozen=True, slots=True)
class Unread(Mapping[str, Sheet[EntryT] | None]):
    """Sheets by name, each read when it is asked for and never kept.

    A fleet has thousands of tools, and the lines of one take more memory than its contract: were
    all read before the first is bound, their remains would lie between what stays.
    """

    paths: Mapping[str, str]
    read: Callable[[str], Sheet[EntryT] | None]

    def __getitem__(self, name: str) -> Sheet[EntryT] | None:
        return self.read(self.paths[name])

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """All files; a sheet that failed its schema is there as nothing."""

    files: Mapping[str, bytes]
    fleet: Sheet[FleetEntry] | None
    agents: Mapping[str, Sheet[AgentEntry] | None]
    tools: Unread[ToolEntry]
    servers: Mapping[str, Sheet[ServerEntry] | None]


def present(sheets: Mapping[str, Sheet[EntryT] | None]) -> Iterator[Sheet[EntryT]]:
    """The sheets that passed their schema."""
    return (sheet for sheet in sheets.values() if sheet is not None)


def named_as_file(sheet: Sheet[Any], name: str) -> None:
    """A name that differs from its file's would be looked for in vain."""
    stem = sheet.document.file.rpartition("/")[2].removesuffix(".yaml")
    if name != stem:
        hint = f"write `name: {stem}`, or rename the file to `{name}.yaml`"
        sheet.note(("name",), f"{quoted(name)} is not the name of the file", hint)


def caps(sheet: Sheet[Any], budgets: Iterable[BudgetEntry], path: Path) -> tuple[Cap, ...]:
    """Budgets as caps, in an order that does not depend on how they were written."""
    bound: dict[tuple[str, str], Cap] = {}
    for index, budget in enumerate(budgets):
        key = (budget.unit, budget.per)
        if key in bound:
            sheet.note((*path, index), f"a second budget in {key[0]} per {key[1]}", "keep one")
        bound[key] = _cap(sheet, budget, (*path, index, "amount"))
    return tuple(sorted(bound.values(), key=lambda cap: (cap.unit, cap.period)))


def _cap(sheet: Sheet[Any], budget: BudgetEntry, path: Path) -> Cap:
    if budget.unit == "usd":
        if budget.amount > USD_MAX:
            sheet.note(path, "too large an amount", f"write at most {USD_MAX}")
        return Cap(unit="nanousd", period=budget.per, amount=nanousd(budget.amount))
    if budget.amount != int(budget.amount):
        message = f"not a whole number of {budget.unit}"
        sheet.note(path, message, f"write `{int(budget.amount)}`")
    return Cap(unit=budget.unit, period=budget.per, amount=int(budget.amount))
