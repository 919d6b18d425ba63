"""Real processes for the benchmarks: the raw upstream, and `quarterdeck up` with a small fleet."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

FLEET = """
name: bench
people: {ann: {name: Ann, role: owner}}
teams: {desk: {owner: ann}}
vendors:
  raw:
    dialect: openai
    base_url: http://127.0.0.1:PORT/v1
    prices: {bench-1: {input: "0.15", output: "0.60"}}
"""
AGENT = """
name: clerk
owner: ann
team: desk
purpose: Is measured.
autonomy: L2
models: {main: {vendor: raw, model: bench-1}}
prompt: prompts/clerk.md
budgets: [{unit: usd, per: day, amount: "1000000"}]
"""
_NONE: Mapping[str, str] = {}


@dataclass
class Server:
    """`quarterdeck up`, and a run's credential for it."""

    process: subprocess.Popen[str]
    port: int
    credential: str
    folder: Path
    answered_seconds: float

    def memory_mb(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


def upstream() -> contextlib.AbstractContextManager[int]:
    """The raw upstream's port."""
    return listening("benchmarks.upstream")


def relay(upstream_port: int) -> contextlib.AbstractContextManager[int]:
    """The port of a bare relay of the same stack."""
    return listening("benchmarks.relay", f"http://127.0.0.1:{upstream_port}/v1/chat/completions")


@contextlib.contextmanager
def listening(module: str, *arguments: str) -> Iterator[int]:
    """A module of ours that prints the port it listens on; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def write_fleet(folder: Path, port: int, more: Mapping[str, str] = _NONE) -> Path:
    """The small fleet, with files more or others."""
    for path, text in {
        "fleet.yaml": FLEET.replace("PORT", str(port)),
        "agents/clerk.yaml": AGENT,
        "prompts/clerk.md": "You are measured.",
        **more,
    }.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


@contextlib.contextmanager
def server(upstream_port: int, more: Mapping[str, str] = _NONE) -> Iterator[Server]:
    """A server with everything on, and how long it took to answer after a first start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fleet = write_fleet(folder / "fleet", upstream_port, more)
        command = [str(Path(sys.executable).parent / "quarterdeck"), "--data", str(folder / "data")]
        _start(command, fleet).terminate_and_wait()
        started = _start(command, fleet)
        try:
            known = json.loads((folder / "data" / "server.json").read_text())
            headers = {"authorization": f"Bearer {known['token']}"}
            body = {"agent": "clerk", "input": {}, "kind": "external"}
            run = httpx2.post(f"{known['url']}/v1/runs", json=body, headers=headers).json()
            port = int(known["url"].rsplit(":", 1)[1])
            yield Server(
                started.process, port, run["credential"], folder / "data", started.answered_seconds
            )
        finally:
            started.terminate_and_wait()


@dataclass
class _Started:
    process: subprocess.Popen[str]
    answered_seconds: float

    def terminate_and_wait(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()


def _start(command: list[str], fleet: Path) -> _Started:
    began = time.perf_counter()
    with tempfile.TemporaryFile() as log:  # the process keeps it open as long as it runs
        process = subprocess.Popen(
            [*command, "--json", "up", "--fleet", str(fleet), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        said = ""
        for line in process.stdout or ():
            said += line
            with contextlib.suppress(json.JSONDecodeError):
                url = json.loads(said)["url"]
                httpx2.get(f"{url}/v1/healthz")
                return _Started(process, time.perf_counter() - began)
        log.seek(0)
        logged = log.read().decode(errors="replace")[-3000:]
    raise RuntimeError(f"the server did not start: {said}{logged}")
