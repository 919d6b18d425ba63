"""From the files of a fleet folder to a checked `Fleet`.

`load` is pure: the same files give the same fleet, on disk or from the database they were applied
to. It either returns a fleet in which every name resolves, or raises with every problem it found.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from quarterdeck.domain import limits
from quarterdeck.domain.fleets import Fleet
from quarterdeck.fleet import bind_radius
from quarterdeck.fleet.bind import bind
from quarterdeck.fleet.documents import read
from quarterdeck.fleet.explain import checked
from quarterdeck.fleet.fields import NAME_PATTERN
from quarterdeck.fleet.folder import FLEET_FILE, FOLDERS, LATER_FOLDERS, read_folder
from quarterdeck.fleet.problems import Findings, FleetInvalid, Problem
from quarterdeck.fleet.schema import AgentEntry, Entry, FleetEntry, ServerEntry, ToolEntry
from quarterdeck.fleet.sheets import Folder, Sheet, Unread

__all__ = ["FleetInvalid", "Problem", "load", "load_to_apply", "read_folder"]

PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "agents": (".yaml",),
    "tools": (".yaml", ".py"),
    "prompts": (".md", ".txt"),
    "servers": (".yaml", ".py", ".js", ".json", ".sql", ".txt"),
}
EntryT = TypeVar("EntryT", bound=Entry)


def load(files: Mapping[str, bytes]) -> Fleet:
    """The fleet that the files describe; raises `FleetInvalid` with every problem in them."""
    return _bound(files).fleet


def load_to_apply(files: Mapping[str, bytes]) -> Fleet:
    """As `load`, and by the rules for what is to be put in force: agents that write are bounded."""
    bound = _bound(files)
    bind_radius.check(bound.folder, bound.fleet)
    bound.found.raise_if_any()
    return bound.fleet


class _Bound(NamedTuple):
    """A fleet that loaded, with the sheets it was bound from: they know every line."""

    folder: Folder
    fleet: Fleet
    found: Findings


def _bound(files: Mapping[str, bytes]) -> _Bound:
    found = Findings()
    if len(files) > limits.FLEET_FILES_MAX:
        found.add("", f"more than {limits.FLEET_FILES_MAX} files", "split the fleet")
        found.raise_if_any()
    for path in sorted(files):
        _place(path, found)
    if FLEET_FILE not in files:
        found.add(FLEET_FILE, "no such file in the folder", "write it: it names people and vendors")
    folder = Folder(
        files=files,
        fleet=_sheet(FleetEntry, FLEET_FILE, files, found) if FLEET_FILE in files else None,
        agents=_sheets(AgentEntry, "agents", files, found),
        tools=Unread(_paths("tools", files), lambda path: _sheet(ToolEntry, path, files, found)),
        servers=_sheets(ServerEntry, "servers", files, found),
    )
    fleet = bind(folder, found)
    found.raise_if_any()
    assert fleet is not None  # nothing was found, so nothing was left out
    return _Bound(folder, fleet, found)


def _place(path: str, found: Findings) -> None:
    """A file that no part of the fleet would read is a mistake, never a file to pass over."""
    if path == FLEET_FILE:
        return
    folder, _, name = path.partition("/")
    if folder in LATER_FOLDERS:
        hint = "move it out: what it says would not be enforced"
        found.add(path, f"`{folder}/` is not read by this version", hint)
    elif folder not in FOLDERS or not name:
        found.add(path, "no such place in a fleet folder", "see docs/reference/fleet-folder.md")
    elif not PATH.fullmatch(path):
        hint = "rename it with letters, digits, `-`, `_` and `.`"
        found.add(path, "a file name with other characters", hint)
    elif not name.endswith(SUFFIXES[folder]):
        wanted = " or ".join(f"`{suffix}`" for suffix in SUFFIXES[folder])
        found.add(path, "not a file that belongs here", f"end its name in {wanted}, or move it out")
    elif name.endswith(".yaml") and not re.fullmatch(NAME_PATTERN, name.removesuffix(".yaml")):
        hint = "rename it: lower-case letters, digits, `-` and `_`, directly in its folder"
        found.add(path, "a file name that is no name", hint)


def _sheets(
    model: type[EntryT], folder: str, files: Mapping[str, bytes], found: Findings
) -> dict[str, Sheet[EntryT] | None]:
    """The YAML files of a folder by name; nothing where a problem was found."""
    return {name: _sheet(model, path, files, found) for name, path in _paths(folder, files).items()}


def _paths(folder: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """Where the YAML files of a folder are, by name."""
    return {
        path.removeprefix(f"{folder}/").removesuffix(".yaml"): path
        for path in sorted(files)
        if path.startswith(f"{folder}/") and path.endswith(".yaml")
    }


def _sheet(
    model: type[EntryT], path: str, files: Mapping[str, bytes], found: Findings
) -> Sheet[EntryT] | None:
    document = read(path, files[path], found)
    if document is None:
        return None
    entry = checked(model, document, found)
    return None if entry is None else Sheet(document=document, entry=entry, found=found)
