"""Starts the product as its users do: real processes in an environment of their own."""

import contextlib
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2

BIN: Final = Path(sys.executable).parent
STOP_SECONDS: Final = 40
WAIT_SECONDS: Final = 30


@dataclass(slots=True)
class Process:
    """A process under way, and what it said when it was ready."""

    popen: subprocess.Popen[str]
    log: Path
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.said["url"])

    @property
    def pid(self) -> int:
        """Its number."""
        return self.popen.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.popen.kill()
        self._over()

    def stop(self) -> int:
        """Ask it to stop; its exit status."""
        self.popen.send_signal(signal.SIGTERM)
        return self._over()

    def _over(self) -> int:
        status = self.popen.wait(STOP_SECONDS)
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        return status

    def logged(self) -> str:
        """What it wrote to its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> Any:
        """Its output as JSON."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"not JSON: {self.out!r}; {self.err}") from error


@dataclass(slots=True)
class Launcher:
    """Starts processes for one test and leaves none behind."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    started: list[Process] = field(default_factory=list)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """All the variables a process gets."""
        own = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"}
        return own | {"PYTHONUNBUFFERED": "1"} | self.settings | dict(more or {})

    def spawn(self, *command: str, more: Mapping[str, str] | None = None) -> Process:
        """Start a command and do not wait for it."""
        log = self.folder / f"{len(self.started)}-{Path(command[0]).name}.log"
        with log.open("wb") as writing:
            popen = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                stdout=subprocess.PIPE,
                stderr=writing,
                text=True,
                cwd=self.folder,
                env=self.environment(more),
                start_new_session=True,
            )
        process = Process(popen, log)
        self.started.append(process)
        return process

    def start(self, *command: str, more: Mapping[str, str] | None = None) -> Process:
        """Start a command and read the object it prints when it is ready."""
        return self.ready(self.spawn(*command, more=more))

    def ready(self, process: Process) -> Process:
        """A process that was spawned, once it has printed its object."""
        said = ""
        for line in process.popen.stdout or ():
            said += line
            with contextlib.suppress(ValueError):
                process.said = dict(json.loads(said))
                return process
        status = process.popen.wait(STOP_SECONDS)
        raise AssertionError(f"it ended with {status}: {said}{process.logged()[-3000:]}")

    def up(self, *more: str) -> Process:
        """`quarterdeck up` on any free port."""
        return self.start("quarterdeck", "--json", *self.named, "up", "--port", "0", *more)

    def serve(self, *roles: str) -> list[Process]:
        """`quarterdeck serve`, a process for each role, on any free port; all start at once."""
        common = ("quarterdeck", "--json", *self.named, "serve", "--role")
        ports = {"worker": ()}
        spawned = [self.spawn(*common, r, *ports.get(r, ("--port", "0"))) for r in roles]
        return [self.ready(process) for process in spawned]

    def standin(self, script: Mapping[str, Any]) -> Process:
        """The stand-in model playing a script, in a process of its own."""
        path = self.folder / f"script-{len(self.started)}.json"
        path.write_text(json.dumps(script), encoding="utf-8")
        return self.start("quarterdeck-standin", "scripted", "--script", str(path))

    def run(
        self,
        *arguments: str,
        status: int | None = 0,
        more: Mapping[str, str] | None = None,
        file_bytes_max: int | None = None,
    ) -> Completed:
        """Run `quarterdeck --json …` to its end; `status` is what it must end with."""
        command = [str(BIN / "quarterdeck"), "--json", *self.named, *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment(more),
            preexec_fn=None if file_bytes_max is None else partial(_limit, file_bytes_max),
            timeout=60,
            check=False,
        )
        found = Completed(status=done.returncode, out=done.stdout, err=done.stderr)
        assert status in (None, found.status), f"{arguments}: {found}"
        return found

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def effects(self) -> Path:
        """Where tools leave what they did; not in the data folder, which they cannot see."""
        folder = self.folder / "effects"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def named(self) -> tuple[str, ...]:
        """The option that names the data folder."""
        return ("--data", str(self.data))

    def token(self) -> str:
        """The local token of the server that holds the data folder."""
        read = json.loads((self.data / "server.json").read_text(encoding="utf-8"))
        return str(read["token"])

    def write(self, files: Mapping[str, bytes], name: str = "fleet") -> Path:
        """Write a fleet folder."""
        for path, content in files.items():
            file = self.folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return self.folder / name

    def close(self) -> None:
        """Kill whatever still runs."""
        for process in reversed(self.started):
            if process.popen.poll() is None:
                process.kill()
            elif process.popen.stdout is not None:
                process.popen.stdout.close()


def _limit(file_bytes_max: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))


@contextlib.contextmanager
def launching(folder: Path) -> Iterator[Launcher]:
    """A launcher whose processes end with the block."""
    launcher = Launcher(folder)
    try:
        yield launcher
    finally:
        launcher.close()


def descendants_of(pid: int) -> set[int]:
    """The processes that a process started, and those that they did."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= {int(child)} | descendants_of(int(child))
    return found


def lives(pid: int) -> bool:
    """Whether a process still runs; one that ended and is not yet reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(holds: Callable[[], bool], *, seconds: float = WAIT_SECONDS, what: str) -> None:
    """Wait until something holds; fails if it never does."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds} seconds: {what}"
        time.sleep(0.05)


def api(url: str, token: str) -> httpx2.Client:
    """A client of a server, as whoever the token names."""
    headers = {"authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=url, headers=headers, timeout=60, trust_env=False, verify=False)


def run_as_a_program(url: str, token: str, agent: str = "clerk") -> dict[str, Any]:
    """Start an external run; what the API answers."""
    with api(url, token) as client:
        answer = client.post("/v1/runs", json={"agent": agent, "input": {}, "kind": "external"})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())
