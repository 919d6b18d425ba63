"""A hundred servers of fifty tools, all granted to one agent: how long a list takes, and how much
memory the process that knows them all keeps."""

import asyncio
import statistics
import time
from typing import Any, Final

from benchmarks.comparison.wire import Wrong
from benchmarks.mcp import fleets
from benchmarks.mcp.report import Finding
from benchmarks.mcp.wire import Target, asked, message_of
from benchmarks.processes import Server, listening, server
from benchmarks.table import print_table

SERVERS: Final = 100
TOOLS: Final = 50
LIST_MS_MAX: Final = 50.0
MEMORY_MB_MAX: Final = 200.0
SETTLE_SECONDS: Final = 5
PAGES_MAX: Final = 1000


def many_servers(findings: list[Finding], *, quick: bool) -> Any:
    """Start, list everything again and again, and look at the process when it is idle."""
    with listening("benchmarks.mcp.upstream", str(TOOLS)) as port:
        urls = {f"s{number}": f"http://127.0.0.1:{port}/{number}/mcp" for number in range(SERVERS)}
        with server(port, fleets.of_servers(urls, TOOLS)) as ours:
            started = ours.memory_mb()
            found = asyncio.run(_measured(ours, 10 if quick else 40))
            time.sleep(SETTLE_SECONDS)
            found["memory_mb"], found["started_memory_mb"] = ours.memory_mb(), started
            found["started_seconds"] = ours.answered_seconds
    print_table(
        f"{SERVERS} servers of {TOOLS} tools each, one agent with them all",
        ["figure", "value"],
        [
            ["`tools/list` at `/mcp`, all pages: first", f"{found['first_ms']:.1f} ms"],
            ["median", f"{found['median_ms']:.1f} ms"],
            ["worst", f"{found['worst_ms']:.1f} ms"],
            ["processor time of each", f"{found['cpu_ms']:.1f} ms"],
            ["pages, and bytes in all", f"{found['pages']}, {found['bytes']:,}"],
            ["answers after a start", f"{found['started_seconds']:.2f} s"],
            ["idle resident memory, just started", f"{started:.0f} MB"],
            ["idle resident memory, everything listed", f"{found['memory_mb']:.0f} MB"],
        ],
    )
    findings += [
        Finding(
            target=f"{SERVERS} servers of {TOOLS} tools: `tools/list` ≤ {LIST_MS_MAX:.0f} ms",
            here=f"{found['median_ms']:.1f} ms at the median",
            met=found["median_ms"] <= LIST_MS_MAX,
        ),
        Finding(
            target=f"their idle memory ≤ {MEMORY_MB_MAX:.0f} MB",
            here=f"{started:.0f} MB after a start, {found['memory_mb']:.0f} once all was listed",
            met=max(started, found["memory_mb"]) <= MEMORY_MB_MAX,
        ),
    ]
    return found


async def _measured(ours: Server, lists: int) -> dict[str, Any]:
    target = Target(name="ours", port=ours.port, credential=ours.credential)
    first_ms, pages, size = await _listed(target)
    cpu = ours.cpu_seconds()
    times = sorted([(await _listed(target))[0] for _ in range(lists)])
    return {
        "first_ms": first_ms,
        "median_ms": statistics.median(times),
        "worst_ms": times[-1],
        "cpu_ms": (ours.cpu_seconds() - cpu) / lists * 1000,
        "pages": pages,
        "bytes": size,
    }


async def _listed(target: Target) -> tuple[float, int, int]:
    """Every page: how long it took, how many, how many bytes."""
    names: set[str] = set()
    cursor: dict[str, str] = {}
    took, size, pages = 0.0, 0, 0
    while pages < PAGES_MAX:
        request = target.request("tools/list", dict(cursor))
        began = time.perf_counter()
        status, _, body = await asked(target, request)
        took += time.perf_counter() - began
        size += len(body)
        pages += 1
        if status != 200:
            raise Wrong(f"the list was answered {status}: {body[:500]!r}")
        result = message_of(body)["result"]
        names |= {tool["name"] for tool in result["tools"]}
        if "nextCursor" not in result:
            break
        cursor = {"cursor": result["nextCursor"]}
    if len(names) != SERVERS * TOOLS:
        raise Wrong(f"{len(names)} tools were listed, {SERVERS * TOOLS} were granted")
    return took * 1000, pages, size
