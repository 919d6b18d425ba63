"""Every page of the console and every list of the API over a long history: the server's time.

The application is asked in process, so that only its own time is measured: wall time of one request
at a time, and the processor time it took, which a busy machine does not change much.

    make bench ARGS=history            a new history of a million actions, then the pages
    python -m benchmarks.reading FOLDER         the pages over one that is there already
"""

import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import uvloop

from benchmarks.history import OWNER, fill
from benchmarks.table import print_table
from quarterdeck.assembly import application, house
from quarterdeck.settings import Settings

ROUNDS = 15
ORIGIN = "http://127.0.0.1:7700"
MILLISECONDS_MAX = 100


@dataclass(frozen=True)
class Seen:
    """How long a page took."""

    path: str
    median_ms: float
    worst_ms: float
    cpu_ms: float
    kilobytes: float


def run() -> None:
    """Fill a new folder, then read it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        written = uvloop.run(fill(folder))
        rate = written.actions / written.seconds
        print(f"\n{written.actions:,} actions of {written.runs:,} runs written, {rate:,.0f}/s")
        measure(folder)


def measure(folder: Path) -> None:
    """Print a table of every page."""
    rows = uvloop.run(_measured(folder))
    print_table(
        f"server time of a page, {ROUNDS} times each",
        ["page", "median ms", "worst ms", "CPU ms", "KB"],
        [
            [
                f"`{one.path}`",
                f"{one.median_ms:.1f}",
                f"{one.worst_ms:.1f}",
                f"{one.cpu_ms:.1f}",
                f"{one.kilobytes:.0f}",
            ]
            for one in rows
        ],
    )
    slow = [one.path for one in rows if one.median_ms > MILLISECONDS_MAX]
    print(f"\nover {MILLISECONDS_MAX} ms: {', '.join(slow) or 'none'}")


@asynccontextmanager
async def _signed_in(folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with house(Settings(folder=folder), role="all") as built:
        transport = httpx2.ASGITransport(app=application(built))
        headers = {"authorization": f"Bearer {built.local_token}"}
        async with httpx2.AsyncClient(
            transport=transport, base_url=ORIGIN, headers=headers
        ) as client:
            token = built.sessions.one_time_link(ORIGIN, OWNER).rpartition("token=")[2]
            answer = await client.post(
                "/console/sign-in", data={"token": token}, headers={"origin": ORIGIN}
            )
            assert answer.status_code == 303, answer.text
            yield client


async def _measured(folder: Path) -> list[Seen]:
    async with _signed_in(folder) as client:
        return [await _page(client, path) for path in await _paths(client)]


async def _paths(client: httpx2.AsyncClient) -> list[str]:
    runs = (await client.get("/v1/runs?limit=500")).json()["items"]
    found = (await client.get("/v1/runs?agent=agent-00&limit=500")).json()
    longest = max(found["items"], key=lambda r: r["actions"])
    while found["next"] and longest["actions"] < 10_000:
        more = f"/v1/runs?agent=agent-00&limit=500&cursor={found['next']}"
        found = (await client.get(more)).json()
        longest = max(longest, *found["items"], key=lambda r: r["actions"])
    long, short = longest["id"], runs[250]["id"]
    words = "+".join(runs[250]["because"].split()[:2])
    day = runs[250]["started_at"][:10]
    page = (await client.get(f"/v1/runs/{long}/actions?limit=500")).json()
    for _ in range(40):
        after = f"/v1/runs/{long}/actions?limit=500&cursor={page['next']}"
        page = (await client.get(after)).json()
    action = next(a["id"] for a in reversed(page["items"]) if a["kind"] == "model")
    cursor = page["next"]
    return [
        "/console/",
        "/console/runs",
        "/console/runs?agent=agent-00&state=failed",
        "/console/runs?agent=agent-23",
        "/console/runs?team=legal&with=refused",
        "/console/runs?with=in_doubt",
        f"/console/runs?day={day}",
        f"/console/runs/{short}",
        f"/console/runs/{long}",
        f"/console/runs/{long}?from=44000",
        f"/console/runs/{long}/actions?from=30000",
        f"/console/actions/{action}",
        "/console/actions?target=refund",
        "/console/agents/agent-00",
        "/console/costs",
        "/console/health",
        f"/console/search?q={short}",
        "/v1/agents",
        "/v1/runs",
        "/v1/runs?limit=500",
        "/v1/runs?agent=agent-23&state=cancelled",
        "/v1/runs?state=running",
        "/v1/runs?team=growth&having=held",
        "/v1/runs?having=in_doubt",
        f"/v1/runs?since={day}T00:00:00Z&until={day}T12:00:00Z",
        f"/v1/runs?q={words}",
        f"/v1/runs?q={short[:12]}",
        f"/v1/runs?correlation={runs[250]['correlation']}",
        f"/v1/runs/{long}",
        f"/v1/runs/{long}/actions",
        f"/v1/runs/{long}/actions?limit=500&cursor={cursor}",
        "/v1/actions",
        "/v1/actions?agent=agent-23&kind=tool",
        "/v1/actions?state=refused",
        "/v1/actions?team=legal&state=suggested",
        f"/v1/actions?since={day}T00:00:00Z&until={day}T01:00:00Z",
        f"/v1/actions/{action}",
        "/v1/costs?by=agent,day&days=14",
        "/v1/budgets?scope=agent:agent-00",
        "/v1/keys",
        "/v1/fleet",
        "/v1/health",
        "/v1/ledger/head",
        f"/v1/ledger/proof?subject={short}",
    ]


async def _page(client: httpx2.AsyncClient, path: str) -> Seen:
    times, cpu, size = [], [], 0
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        answer = await client.get(path)
        times.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - used) * 1000)
        size = len(answer.content)
        assert answer.status_code in (200, 303), f"{path}: {answer.status_code} {answer.text[:300]}"
    return Seen(path, statistics.median(times), max(times), statistics.median(cpu), size / 1024)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
