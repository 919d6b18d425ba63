"""`make bench-soak`: twenty minutes of mixed load on `quarterdeck up`, and then its books.

Whole calls, streams, hang-ups, faults of the vendor and actions of an agent's own, by several runs
that begin and end meanwhile. Ends with 1 if anything grew or one call is not accounted for.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import uvloop

from benchmarks.processes import listening
from benchmarks.progress import Progress, interruptible
from benchmarks.soak import books, samples
from benchmarks.soak.books import Account
from benchmarks.soak.kinds import KINDS
from benchmarks.soak.samples import Sample, look, slope, sparkline
from benchmarks.soak.traffic import Journal, Traffic
from benchmarks.table import print_table
from quarterdeck.sources import SystemClock
from quarterdeck.store.sqlite import SqliteDatabase
from tests.e2e.processes import BIN, Launcher, Process, launching

MINUTES, CALLS_A_SECOND = 20.0, 120.0  # so the caches are full within the first half
AGENTS, RUNS_AT_ONCE = 3, 6
RUN_SECONDS: Final = 20.0  # then a run is ended and another one begins
LAST_CALL_SECONDS: Final = 15.0  # a run that gets no new calls is ended after its last
QUIET_SECONDS: Final = 20.0  # idle connections to the vendor are closed by then
DESCRIPTORS_LEFT_MAX: Final = 12  # more than before the load: readers and the like
SHOWN_MAX: Final = 12
#: What uvicorn says of a stream that we leave unfinished, because its vendor left it so.
CUT_OFF: Final = "ASGI callable returned without completing response"
FLEET = """
name: soak
people: {ann: {name: Ann, role: owner}}
teams: {desk: {owner: ann, budgets: [{unit: usd, per: day, amount: "1000000"}]}}
budgets: [{unit: usd, per: day, amount: "1000000"}]
vendors:
  steady:
    dialect: openai
    base_url: http://127.0.0.1:PORT/v1
    prices: {steady-1: {input: "0.15", output: "0.60"}}
  rough:
    dialect: openai
    base_url: http://127.0.0.1:PORT/rough/v1
    prices: {rough-1: {input: "0.15", output: "0.60"}}
"""
AGENT = """
name: NAME
owner: ann
team: desk
purpose: Is soaked.
autonomy: L2
models: {main: {vendor: steady, model: steady-1}, judge: {vendor: rough, model: rough-1}}
prompt: prompts/clerk.md
tools: [note]
radius: {written: 500000000}
budgets: [{unit: usd, per: day, amount: "1000000"}]
"""
TOOL = """
name: note
description: Notes a number.
arguments: {type: object, properties: {n: {type: integer}}}
effect: write
trust: trusted
idempotent: true
reversible: compensation
cost: "0.002"
records: {written: 1}
timeout_seconds: 30
python: {file: tools/tools.py, function: note}
"""


@dataclass(kw_only=True)
class Soak:
    """What was seen."""

    journal: Journal
    samples: list[Sample] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    wrong: list[str] = field(default_factory=list)
    health_failed: int = 0
    runs: int = 0
    accounts: dict[str, Account] = field(default_factory=dict)
    verified: str = ""


def main(arguments: Sequence[str]) -> None:
    """Run, print, and end with 1 if something is off."""
    parser = argparse.ArgumentParser(prog="make bench-soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--rate", type=float, default=CALLS_A_SECOND, help="calls a second")
    parser.add_argument("--json", type=Path, help="write everything that was seen here")
    told = parser.parse_args(arguments)
    try:
        with interruptible(), tempfile.TemporaryDirectory(prefix="soak-") as folder:
            soak = run(Path(folder), minutes=told.minutes, rate=told.rate)
    except KeyboardInterrupt:
        sys.exit(130)
    show(soak, minutes=told.minutes, rate=told.rate)
    if told.json is not None:
        told.json.write_text(json.dumps(as_json(soak), indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if soak.wrong else 0)


def run(folder: Path, *, minutes: float, rate: float) -> Soak:
    """Everything, in a folder of its own; no process is left."""
    with listening("benchmarks.soak.upstream") as upstream_port, launching(folder) as launcher:
        fleet = launcher.write(_fleet(upstream_port))
        server = launcher.up("--fleet", str(fleet))
        soak = uvloop.run(_load(launcher, server, minutes * 60, rate))
        told = httpx2.get(f"http://127.0.0.1:{upstream_port}/told", trust_env=False).json()
        if status := server.stop():
            soak.wrong.append(f"the server ended with {status}: {server.logged()[-2000:]}")
        uvloop.run(_reconcile(soak, launcher, told))
        soak.wrong += _logged(server)
        soak.verified, found = books.verify_export(
            [str(BIN / "quarterdeck"), "--json", *launcher.named], folder
        )
        soak.wrong += found
    return soak


def _fleet(port: int) -> dict[str, bytes]:
    files = {
        "fleet.yaml": FLEET.replace("PORT", str(port)),
        "prompts/clerk.md": "You are soaked.",
        "tools/note.yaml": TOOL,
        "tools/tools.py": "def note(n: int = 0) -> dict:\n    return {'n': n}\n",
    }
    for number in range(AGENTS):
        files[f"agents/clerk-{number}.yaml"] = AGENT.replace("NAME", f"clerk-{number}")
    return {path: text.encode() for path, text in files.items()}


async def _load(launcher: Launcher, server: Process, seconds: float, rate: float) -> Soak:
    port = int(server.url.rsplit(":", 1)[1])
    traffic = Traffic(port=port, credentials=[], rate=rate)
    soak = Soak(journal=traffic.journal)
    headers = {"authorization": f"Bearer {launcher.token()}"}
    async with httpx2.AsyncClient(
        base_url=server.url, headers=headers, timeout=30, trust_env=False
    ) as client:
        soak.before = await _look(soak, client, server, launcher.data, at=0.0)
        async with asyncio.TaskGroup() as group:
            ready = asyncio.Event()
            turning = group.create_task(_turn_runs(soak, client, traffic, ready))
            await ready.wait()
            flowing = group.create_task(traffic.flow())
            reading = group.create_task(_read(soak, client))
            await _watch(soak, client, server, launcher.data, seconds)
            traffic.over = True
            await flowing
            turning.cancel()
            reading.cancel()
        soak.after = await _settle_down(soak, client, server, launcher.data)
    return soak


async def _turn_runs(
    soak: Soak, client: httpx2.AsyncClient, traffic: Traffic, ready: asyncio.Event
) -> None:
    """Runs begin and end all the time; each is ended when its last calls are over."""
    under_way: list[dict[str, Any]] = []
    while True:
        body = {"agent": f"clerk-{soak.runs % AGENTS}", "input": {}, "kind": "external"}
        started = (await client.post("/v1/runs", json=body)).raise_for_status().json()
        soak.runs += 1
        under_way.append(started)
        traffic.credentials.append(started["credential"])
        if len(under_way) < RUNS_AT_ONCE:
            continue
        ready.set()
        oldest = under_way.pop(0)
        await asyncio.sleep(RUN_SECONDS / RUNS_AT_ONCE)
        traffic.credentials.remove(oldest["credential"])
        asyncio.get_running_loop().call_later(
            LAST_CALL_SECONDS, _ending, soak, client, oldest["id"]
        )


def _ending(soak: Soak, client: httpx2.AsyncClient, run: str) -> None:
    task = asyncio.ensure_future(_end_run(soak, client, run))
    _ENDING.add(task)
    task.add_done_callback(_ENDING.discard)


_ENDING: Final[set[asyncio.Task[None]]] = set()


async def _end_run(soak: Soak, client: httpx2.AsyncClient, run: str) -> None:
    answer = await client.post(f"/v1/runs/{run}/end", json={"state": "succeeded"})
    if answer.status_code != 204:
        soak.wrong.append(f"run {run} could not be ended: {answer.status_code} {answer.text[:200]}")


async def _read(soak: Soak, client: httpx2.AsyncClient) -> None:
    """Somebody looks at what is going on."""
    while True:
        await asyncio.sleep(2)
        try:
            answer = await client.get("/v1/runs")
        except httpx2.HTTPError as error:
            soak.wrong.append(f"runs could not be read: {error!r}")
            continue
        if answer.status_code != 200:
            soak.wrong.append(f"runs could not be read: {answer.status_code} {answer.text[:200]}")


async def _watch(
    soak: Soak, client: httpx2.AsyncClient, server: Process, data: Path, seconds: float
) -> None:
    began = shown = time.monotonic()
    every = min(5.0, max(0.5, seconds / 60))
    progress = Progress("soak", seconds)
    while time.monotonic() - began < seconds:
        await asyncio.sleep(every)
        sample = await _look(soak, client, server, data, at=time.monotonic() - began)
        soak.samples.append(sample)
        note = (
            f"{sample.calls:,} calls, {sample.memory_mb:.0f} MB, {sample.descriptors} descriptors"
        )
        progress.more(time.monotonic() - shown, note)
        shown = time.monotonic()
        if server.popen.poll() is not None:
            raise RuntimeError(f"the server is gone: {server.logged()[-3000:]}")
    progress.end()


async def _look(
    soak: Soak, client: httpx2.AsyncClient, server: Process, data: Path, *, at: float
) -> Sample:
    began = time.perf_counter()
    try:
        well = (await client.get("/v1/healthz")).status_code == 200
    except httpx2.HTTPError:
        well = False
    health_ms = (time.perf_counter() - began) * 1000
    soak.health_failed += not well
    calls = soak.journal.ended.total()
    return look(server.pid, data, at=at, health_ms=health_ms, calls=calls)


async def _settle_down(
    soak: Soak, client: httpx2.AsyncClient, server: Process, data: Path
) -> Sample:
    """The load is over: wait until its descriptors are gone, and look once more."""
    assert soak.before is not None
    most = soak.before.descriptors + DESCRIPTORS_LEFT_MAX
    until = time.monotonic() + QUIET_SECONDS
    while True:
        await asyncio.sleep(0.5)
        sample = await _look(soak, client, server, data, at=-1.0)
        if sample.descriptors <= most or time.monotonic() > until:
            break
    await asyncio.sleep(1)  # settlements nobody waited for
    if sample.descriptors > most:
        soak.wrong.append(
            f"{sample.descriptors} descriptors {QUIET_SECONDS:.0f} s after the load,"
            f" {soak.before.descriptors} before it"
        )
    return sample


async def _reconcile(soak: Soak, launcher: Launcher, told: dict[str, dict[str, int]]) -> None:
    path = launcher.data / "quarterdeck.db"
    db = SqliteDatabase(path, writer="prc_soak_books", clock=SystemClock())
    try:
        rows = await db.read(lambda tx: list(tx.rows("select * from actions")))
        budgets = await db.read(lambda tx: list(tx.rows("select * from budgets")))
    finally:
        await db.close()
    soak.accounts, found = books.reconcile(soak.journal, rows, told)
    soak.wrong = soak.wrong[:SHOWN_MAX] + soak.journal.problems + found[:SHOWN_MAX]
    soak.wrong += books.check_money(rows, budgets)
    soak.wrong += samples.leaks(soak.samples)
    if soak.health_failed:
        soak.wrong.append(f"{soak.health_failed} times it said that it is not well")


def _logged(server: Process) -> list[str]:
    """Errors of the server's own log: there must be none."""
    lines = [line for line in server.logged().splitlines() if _is_error(line)]
    return [f"logged {len(lines)} errors, first: {lines[0][:600]}"] if lines else []


def _is_error(line: str) -> bool:
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(line).get("level") in ("error", "critical")
    return line.startswith(("Traceback", "ERROR:")) and CUT_OFF not in line


def show(soak: Soak, *, minutes: float, rate: float) -> None:
    """Tables and small plots."""
    journal, seen = soak.journal, soak.samples
    rows = [
        [
            name,
            f"{account.begun:,}",
            f"{account.ended:,}",
            ", ".join(f"{state} {n:,}" for state, n in account.states.most_common()),
            f"{account.nanousd / 1e9:.6f}",
            f"{account.estimated:,}",
        ]
        for name, account in soak.accounts.items()
        if account.begun or account.states
    ]
    print_table(
        f"{minutes:g} minutes at {rate:g} calls/s, {soak.runs} runs",
        ["kind", "calls", "ended", "actions by state", "USD", "estimated"],
        rows,
    )
    late = samples.late_half(seen)
    figures: list[tuple[str, Callable[[Sample], float]]] = [
        ("resident memory, MB", lambda s: s.memory_mb),
        ("descriptors", lambda s: s.descriptors),
        ("threads", lambda s: s.threads),
        ("database, MB", lambda s: s.database_mb),
        ("health answers after, ms", lambda s: s.health_ms),
    ]
    print_table(
        "the process",
        ["figure", "before", "most", "end", "a minute, last half", "over time"],
        [
            [
                name,
                f"{figure(soak.before):.1f}" if soak.before else "",
                f"{max(map(figure, seen)):.1f}",
                f"{figure(soak.after):.1f}" if soak.after else "",
                f"{slope(seen, figure):+.2f}",
                sparkline([figure(sample) for sample in seen]),
            ]
            for name, figure in figures
        ],
    )
    passed = (late[-1].at - late[0].at) or 1.0
    cpu = (late[-1].cpu_seconds - late[0].cpu_seconds) / passed
    print(f"\nthe server used {cpu:.0%} of a core; blocked by an open circuit: {journal.blocked:,}")
    print(f"calls {journal.begun.total():,} begun, {journal.ended.total():,} ended,"
          f" {len(journal.actions):,} actions; verifier: {soak.verified}")  # fmt: skip
    if minutes < samples.MEMORY_MINUTES_MIN:
        print(f"memory is judged from {samples.MEMORY_MINUTES_MIN:g} minutes on: it warms up")
    for line in soak.wrong:
        print(f"WRONG: {line}")
    print("everything is accounted for, nothing grew" if not soak.wrong else "FAIL")


def as_json(soak: Soak) -> dict[str, Any]:
    """Everything that was seen."""
    return {
        "load_average": os.getloadavg(),
        "kinds": {name: kind.weight for name, kind in KINDS.items()},
        "samples": [asdict(sample) for sample in soak.samples],
        "accounts": {
            name: vars(account) | {"states": dict(account.states)}
            for name, account in soak.accounts.items()
        },
        "wrong": soak.wrong,
        "verified": soak.verified,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
