"""Plays the shell examples of a page as a reader would: real commands and processes, free ports.

A fence says what it is. ```` ```console NAME ```` is typed into the terminal of that name (`you`
without one); terminals keep their variables from block to block, and share a folder.
```` ```console NAME stays ```` starts a program that goes on. ```` ```yaml FILE ```` saves a file,
```` ```diff FILE ```` changes one. Any other fence is only read.

Below a command stands what it prints: each line must appear, in this order. `…` stands for what
differs from run to run, a line that is only `…` for any lines. An id that ends in `…` is
remembered: where a later command names it, the real one is typed.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FENCE: Final = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ID: Final = re.compile(r"\b(?:run|act|key|rev|apr|pln)_\w+…")
ANSWER_SECONDS: Final = 30
PORTS: Final = ("7700", "8099")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fence of a page."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


@dataclass(slots=True)
class Step:
    """A command and the lines it is said to print."""

    command: str
    printed: list[str] = field(default_factory=list)


def blocks(page: str) -> Iterator[Block]:
    """The fences of a page, in order."""
    for found in FENCE.finditer(page):
        yield Block(
            language=found[1],
            words=tuple(found[2].split()),
            text=found[3],
            line=page[: found.start()].count("\n") + 1,
        )


def steps(block: Block) -> list[Step]:
    """The commands of a console block; a command goes on after a backslash at its line's end."""
    found: list[Step] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:]))
        elif found and found[-1].command.endswith("\\"):
            found[-1].command = found[-1].command[:-1] + line.strip()
        elif found and line.strip():
            found[-1].printed.append(line)
    return found


def free_port() -> str:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class Reader:
    """Somebody who follows a page to the letter, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: free_port() for port in PORTS}
        self.ids: dict[str, str] = {}
        self._terminals: dict[str, subprocess.Popen[str]] = {}
        self._programs: list[subprocess.Popen[bytes]] = []
        (folder / "home").mkdir()

    def follow(self, page: str) -> int:
        """Do all that a page says; returns how many commands that was."""
        typed = 0
        for block in blocks(page):
            if block.language == "console":
                for step in steps(block):
                    self._do(block, step)
                    typed += 1
            elif len(block.words) == 1:
                self._write(self.folder / block.words[0], block)
        return typed

    def close(self) -> None:
        """Close every terminal and end what runs in them."""
        for terminal in self._terminals.values():
            terminal.communicate(timeout=10)
        for program in reversed(self._programs):
            program.send_signal(signal.SIGTERM)
        for program in self._programs:
            program.wait(20)

    def _do(self, block: Block, step: Step) -> None:
        command = self._ported(step.command)
        for written, real in self.ids.items():
            command = command.replace(written, real)
        assert "…" not in command, f"line {block.line}: `{command}` names what was never printed"
        name, stays = (block.words or ("you",))[0], "stays" in block.words
        pattern = self._pattern(step.printed)
        if stays:
            found = self._start(command, pattern)
        else:
            output = self._type(name, command)
            matched = pattern.search(output)
            assert matched, f"line {block.line}: `{command}` printed\n{output}\nnot {step.printed}"
            found = matched
        self.ids |= {f"{name}…": real for name, real in found.groupdict().items()}
        if command.startswith("quarterdeck init "):
            self._reroute(self.folder / command.split()[-1])

    def _write(self, path: Path, block: Block) -> None:
        """Save a file, or change the lines of one as a diff says."""
        if block.language != "diff":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._ported(block.text), encoding="utf-8")
            return
        lines = block.text.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"line {block.line}: {path.name} has no such lines"
        path.write_text(text.replace(before, after), encoding="utf-8")

    def _reroute(self, fleet: Path) -> None:
        """The ports of a new fleet folder, as every other port."""
        path = fleet / "fleet.yaml"
        path.write_text(self._ported(path.read_text(encoding="utf-8")), encoding="utf-8")

    def _ported(self, text: str) -> str:
        for port, real in self.ports.items():
            text = text.replace(port, real)
        return text

    def _pattern(self, printed: list[str]) -> "re.Pattern[str]":
        """Lines in their order, spaces as they come."""
        lines, new = [], set()
        for line in printed:
            if line.strip() == "…":
                continue
            written = ""
            for piece in re.split(rf"({ID.pattern}|…|\s+)", self._ported(line.strip())):
                if ID.fullmatch(piece) and piece not in self.ids and piece not in new:
                    written += rf"(?P<{piece[:-1]}>\w+)"
                    new.add(piece)
                elif ID.fullmatch(piece):
                    written += self.ids.get(piece) or rf"(?P={piece[:-1]})"
                elif piece == "…":
                    written += r".*?"
                else:
                    written += r"[ ]+" if piece.isspace() else re.escape(piece)
            lines.append(rf"^[ ]*{written}[ ]*$")
        return re.compile(r"(?:.*\n)*?".join(lines), re.MULTILINE)

    def _type(self, name: str, command: str) -> str:
        """Type one command and wait for its end: what it printed, errors included."""
        terminal = self._terminals.get(name) or self._open(name)
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        terminal.stdin.write(f"{command}\necho __end__\n")
        terminal.stdin.flush()
        printed: list[str] = []
        for line in terminal.stdout:
            if line == "__end__\n":
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"`{command}` closed its terminal: {''.join(printed)}")

    def _open(self, name: str) -> subprocess.Popen[str]:
        terminal = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        self._terminals[name] = terminal
        return terminal

    def _start(self, command: str, pattern: "re.Pattern[str]") -> "re.Match[str]":
        """Start a program that stays, and wait until it has said what the page says."""
        log = self.folder / f"program-{len(self._programs)}.log"
        with log.open("wb") as file:
            program = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-c", f"exec {command}"],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
            )
        self._programs.append(program)
        until = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < until:
            if found := pattern.search(log.read_text(encoding="utf-8")):
                return found
            assert program.poll() is None, f"`{command}` ended: {log.read_text()}"
            time.sleep(0.05)
        raise AssertionError(f"`{command}` did not say {pattern.pattern} but {log.read_text()}")

    @property
    def environment(self) -> Mapping[str, str]:
        """As in a new terminal where Quarterdeck is installed, on a port that is free."""
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "QUARTERDECK_PORT": self.ports["7700"],
            **{k: v for k, v in os.environ.items() if k in ("SSL_CERT_FILE", "TMPDIR")},
        }
