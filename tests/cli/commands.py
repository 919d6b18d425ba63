"""The installed command in real processes: once, or a server that stays."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fleets import files

QUARTERDECK = Path(sys.executable).with_name("quarterdeck")
SECONDS = 60


def environment(**added: str) -> dict[str, str]:
    """Ours without what would steer the command, in a fixed zone."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("QUARTERDECK_", "OPENAI_", "ANTHROPIC_", "NO_COLOR", "COLUMNS"))
    }
    return kept | {"TZ": "UTC", "PATH": f"{QUARTERDECK.parent}:{kept['PATH']}"} | added


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


def command(
    *arguments: str | Path, folder: Path, given: str = "", env: Mapping[str, str] | None = None
) -> Ended:
    """Run one command in a folder; its data folder is `.quarterdeck` there."""
    done = subprocess.run(
        [QUARTERDECK, *map(str, arguments)],
        cwd=folder,
        env=environment(**(env or {})),
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ended(status=done.returncode, out=done.stdout, err=done.stderr)


@dataclass(frozen=True, kw_only=True)
class Server:
    """`quarterdeck up` in a process."""

    process: "subprocess.Popen[str]"
    url: str
    sign_in: str
    folder: Path

    @property
    def token(self) -> str:
        """The local token, as server.json says it."""
        said = json.loads((self.folder / ".quarterdeck" / "server.json").read_text())
        token: str = said["token"]
        return token

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextlib.contextmanager
def up(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server on any free port, stopped at the end."""
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(
            [QUARTERDECK, "up", "--json", "--port", "0", *arguments],
            cwd=folder,
            env=environment(**(env or {})),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                break
        assert text, (folder / "up.log").read_text()
        said = json.loads(text)
        yield Server(process=process, url=said["url"], sign_in=said["sign_in"], folder=folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(SECONDS)
        process.stdout.close()


def write_fleet(folder: Path, **changes: str) -> Path:
    """The fleet folder of the tests, on disk."""
    fleet = folder / "fleet"
    for path, body in files(**changes).items():
        (fleet / path).parent.mkdir(parents=True, exist_ok=True)
        (fleet / path).write_bytes(body)
    return fleet
