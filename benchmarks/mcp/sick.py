"""What one server that hangs, floods, dies or is not there does to the calls of the others.

A hundred calls a second go to a server that is well, and five more to another one: well at first,
which is the baseline, then sick in each way. All rounds are interleaved; the calls are the same.
"""

import asyncio
import math
from typing import Any, Final

from benchmarks.comparison.wire import Wrong
from benchmarks.mcp import fleets
from benchmarks.mcp.report import Finding
from benchmarks.mcp.wire import Target, check_wire
from benchmarks.open_loop import Steady, percentile, steady
from benchmarks.peers.processes import free_port
from benchmarks.processes import Server, listening, server
from benchmarks.progress import Progress
from benchmarks.table import print_table

RATE: Final = 100
SICK_RATE: Final = 5
SICK_SECONDS: Final = 3  # that a call of a tool may take
SLOWER_MAX: Final = 1.5
WELL: Final = "well"
SICK: Final = ("hang", "flood", "die", "absent")


def sick_server(findings: list[Finding], *, quick: bool) -> Any:
    """One of each, and what the calls of a healthy one take meanwhile."""
    upstream = "benchmarks.mcp.upstream"
    with listening(upstream, "1") as well, listening(upstream, "1") as sick:
        # They are known before they fall ill: the sick one lists its tools as well as any.
        urls = {kind: f"http://127.0.0.1:{sick}/{kind}/mcp" for kind in SICK[:-1]}
        urls |= {"absent": f"http://127.0.0.1:{free_port()}/mcp"}
        urls |= {name: f"http://127.0.0.1:{well}/{name}/mcp" for name in ("asked", WELL)}
        with server(well, fleets.of_servers(urls, 1, seconds=SICK_SECONDS)) as ours:
            rounds, seconds = (1, 4.0) if quick else (4, 8.0)
            found = asyncio.run(_measured(ours, rounds, seconds))
    return _judged(found, findings)


async def _measured(ours: Server, rounds: int, seconds: float) -> dict[str, Steady]:
    asked = _target(ours, "asked")
    await check_wire(asked)
    await steady(ours.port, asked.calls(), rate=RATE, seconds=3)
    found: dict[str, Steady] = {}
    kinds = (WELL, *SICK)
    progress = Progress("sick", len(kinds) * rounds * seconds)
    for number in range(rounds):
        for kind in kinds:
            other = _target(ours, kind).calls()
            meanwhile = asyncio.create_task(
                steady(ours.port, other, rate=SICK_RATE, seconds=seconds, seed=number + 99)
            )
            one = await steady(ours.port, asked.calls(), rate=RATE, seconds=seconds, seed=number)
            await meanwhile
            progress.more(seconds)
            if one.failed:
                raise Wrong(f"{one.failed} calls of a healthy server failed beside one: {kind}")
            found[kind] = found[kind] + one if kind in found else one
    progress.end()
    return found


def _target(ours: Server, kind: str) -> Target:
    return Target(
        name=kind,
        port=ours.port,
        path=f"/mcp/{kind}",
        credential=ours.credential,
        tool="look_up",
    )


def _judged(found: dict[str, Steady], findings: list[Finding]) -> Any:
    base = percentile(found[WELL].times_ms, 0.99)
    figures = {
        kind: {
            "answered": len(one.times_ms) / one.offered,
            "p50_ms": percentile(one.times_ms, 0.5),
            "p99_ms": percentile(one.times_ms, 0.99),
            "slower": percentile(one.times_ms, 0.99) / base,
        }
        for kind, one in found.items()
    }
    print_table(
        f"{RATE} calls/s to a healthy server, beside {SICK_RATE}/s to one that is",
        ["the other one", "answered", "p50 ms", "p99 ms", "p99 of the baseline"],
        [
            [
                kind,
                f"{one['answered']:.1%}",
                f"{one['p50_ms']:.2f}",
                f"{one['p99_ms']:.2f}",
                f"{one['slower']:.2f}x",
            ]
            for kind, one in figures.items()
        ],
    )
    worst = max(SICK, key=lambda kind: figures[kind]["slower"])
    slower = figures[worst]["slower"]
    all_answered = all(one["answered"] >= 0.99 for one in figures.values())
    findings.append(
        Finding(
            target=f"one sick server leaves the others' p99 within {SLOWER_MAX}x",
            here=f"{slower:.2f}x at the worst, beside one that is: {worst}",
            met=all_answered and not math.isnan(slower) and slower <= SLOWER_MAX,
        )
    )
    return figures
