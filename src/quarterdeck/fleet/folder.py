"""A fleet folder on disk, read as bytes: bounded, and never beyond the folder.

Read are `fleet.yaml` and what lies under the folders a fleet has. Anything else beside them
(samples, schemas, a README) is left alone, unless its name looks like a misspelt one.
"""

import os
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from quarterdeck.domain import limits
from quarterdeck.domain.errors import NotFound
from quarterdeck.fleet.problems import Findings, quoted

FLEET_FILE: Final = "fleet.yaml"
FOLDERS: Final = ("agents", "prompts", "servers", "tools")
#: Folders of the fleet language that this version does not read yet; `load` refuses files in them.
LATER_FOLDERS: Final = ("playbooks", "policies", "suites", "workflows")
_KNOWN: Final = (*FOLDERS, *LATER_FOLDERS)


class _TooMuch(Exception):
    """A bound was passed; reading ends here."""


def read_folder(path: Path) -> dict[str, bytes]:
    """The files of a fleet folder by their path inside it; what cannot be read is a problem."""
    root = Path(os.path.realpath(path))
    if not root.is_dir():
        raise NotFound(
            f"no folder at {quoted(path)}",
            hint="name a fleet folder, or make one: quarterdeck init",
        )
    found = Findings()
    reading = _Reading(root, found)
    try:
        for entry in _entries(root, "", found):
            reading.top(entry)
    except _TooMuch:
        pass
    if FLEET_FILE not in reading.files and not found.problems:
        near = get_close_matches(FLEET_FILE, [p.name for p in root.iterdir()], n=1, cutoff=0.7)
        hint = f"rename {quoted(near[0])}" if near else "write one, or name the folder that has it"
        found.add(FLEET_FILE, "no such file in the folder", hint)
    found.raise_if_any()
    return reading.files


class _Reading:
    """The files read so far, and the bounds they count against."""

    def __init__(self, root: Path, found: Findings) -> None:
        self.root = root
        self.found = found
        self.files: dict[str, bytes] = {}
        self.bytes = 0

    def top(self, entry: os.DirEntry[str]) -> None:
        """One thing in the folder itself."""
        if entry.name == FLEET_FILE or entry.name in _KNOWN:
            self._read(entry, entry.name)
        elif entry.is_dir() and (near := get_close_matches(entry.name.lower(), _KNOWN, 1, 0.8)):
            hint = f"rename it to `{near[0]}`, or to something unlike it"
            self.found.add(f"{entry.name}/", "not a folder of a fleet", hint)

    def _read(self, entry: os.DirEntry[str], path: str) -> None:
        if entry.is_symlink() and not self._link_is_sound(entry, path):
            return
        if entry.is_dir(follow_symlinks=False):
            if path.count("/") >= limits.FLEET_FOLDER_DEPTH_MAX:
                self.found.add(path, "folders are nested too deep", "move the files up")
                return
            for inner in _entries(Path(entry.path), path, self.found):
                self._read(inner, f"{path}/{inner.name}")
            return
        self._file(entry, path)

    def _link_is_sound(self, entry: os.DirEntry[str], path: str) -> bool:
        target = Path(os.path.realpath(entry.path))
        if not target.is_relative_to(self.root):
            self.found.add(path, "a link that leads out of the folder", "put the file itself here")
            return False
        if not target.is_file():
            self.found.add(path, "a link that leads to no file", "put the file itself here")
            return False
        return True

    def _file(self, entry: os.DirEntry[str], path: str) -> None:
        try:
            content = _content(entry.path)
        except OSError as error:
            self.found.add(path, f"cannot be read: {error.strerror}", "check its permissions")
            return
        if content is None:
            self.found.add(path, "not a regular file", "remove it")
            return
        self.files[path] = content
        self.bytes += len(content)
        if len(self.files) > limits.FLEET_FILES_MAX:
            self._stop(f"more than {limits.FLEET_FILES_MAX} files")
        if self.bytes > limits.FLEET_FOLDER_BYTES_MAX:
            self._stop(f"more than {limits.FLEET_FOLDER_BYTES_MAX} bytes in all")

    def _stop(self, message: str) -> None:
        hint = "keep only agents, tools and prompts here; split the fleet if it is that large"
        self.found.add("", f"the folder holds {message}", hint)
        raise _TooMuch


def _entries(folder: Path, path: str, found: Findings) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, by name; hidden files and Python's own leavings are passed over."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.add(f"{path}/", f"cannot be read: {error.strerror}", "check its permissions")
        return
    for entry in listed:
        if not entry.name.startswith(".") and entry.name != "__pycache__":
            yield entry


def _content(path: str) -> bytes | None:
    """A file's bytes, one beyond the limit at most; nothing for what is not a regular file."""
    # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(limits.FLEET_FILE_BYTES_MAX + 1)
