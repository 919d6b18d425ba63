"""The processes that an example starts; they end when it does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

console = Console()


class Children:
    """The other processes of an example, with their logs in its working folder."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Children":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._running):
            child.terminate()
        for child in self._running:
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()

    def quarterdeck(self, fleet: Path, port: int) -> dict[str, Any]:
        """`quarterdeck up` with a fleet: what it says, and the local token."""
        data = self._work / "data"
        command = ["quarterdeck", "--json", "--data", str(data), "up"]
        said = self.start([*command, "--fleet", str(fleet), "--port", str(port)])
        known = json.loads((data / "server.json").read_text(encoding="utf-8"))
        return {**said, "token": known["token"]}

    def start(self, command: list[str]) -> dict[str, Any]:
        """Start one of our commands; the object it prints when it is ready."""
        path = self._work / f"{command[0]}.log"
        with path.open("w") as log:
            child = subprocess.Popen(
                [str(Path(sys.executable).parent / command[0]), *command[1:]],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._running.append(child)
        said = ""
        for line in child.stdout or ():
            said += line
            with contextlib.suppress(json.JSONDecodeError):
                return dict(json.loads(said))
        console.print(f"[red]`{command[0]}` did not start:[/]")
        console.print(said + path.read_text()[-2000:], markup=False)
        sys.exit(1)

    def wait(self) -> None:
        """Serve until Ctrl-C."""
        try:
            self._running[-1].wait()
        except KeyboardInterrupt:
            console.print("\nStopping …")
