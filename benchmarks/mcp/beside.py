"""The same tool call through every target, in turn, burst by burst."""

import itertools
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.comparison.wire import Wrong
from benchmarks.load import Load, burst
from benchmarks.mcp.report import Finding
from benchmarks.mcp.wire import MODERN, Target, check_wire, greet
from benchmarks.peers.processes import cpu_seconds, memory_mb
from benchmarks.progress import Progress
from benchmarks.table import print_table

AT_ONCE: Final = (1, 16)
DIRECT, RELAY, OURS = "direct", "bare relay", "Quarterdeck, governed"
CONTEXTFORGE, FASTMCP = "ContextForge", "fastmcp's proxy"
PEERS: Final = (CONTEXTFORGE, FASTMCP)
ADDED_MS_MAX: Final = 2.0
PER_SECOND_MIN: Final = 800.0
FASTER_MIN: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Medians of the rounds of one target under one load."""

    per_second: float
    p50_ms: float
    p99_ms: float
    added_p50_ms: float
    cpu_us: float | None


#: By how many at once, then by target.
Cells = Mapping[int, Mapping[str, Cell]]


async def compare(targets: list[Target], findings: list[Finding], *, quick: bool) -> Any:
    """Check what every target answers, ask all of them in turn, and judge."""
    rounds, seconds, warm = (3, 0.7, 2.0) if quick else (5, 2.0, 5.0)
    calls = {target.name: await _calls(target) for target in targets}
    print("what every target answers is what the raw server said")
    progress = Progress("beside", len(targets) * (warm + len(AT_ONCE) * (rounds + 0.5) * seconds))
    for target in targets:  # a first burst of a fresh process is several times slower
        await burst(target.port, calls[target.name], at_once=4, seconds=warm)
        progress.more(warm)
    cells = {
        at_once: await _saturate(targets, calls, progress, at_once, (rounds, seconds))
        for at_once in AT_ONCE
    }
    progress.end()
    _print(targets, cells)
    findings += judge(cells)
    return {
        str(at_once): {name: asdict(cell) for name, cell in row.items()}
        for at_once, row in cells.items()
    }


async def _calls(target: Target) -> Callable[[], bytes]:
    """Calls in turn from sixteen clients, each with a session where the era has them."""
    clients = [target.another() for _ in range(1 if target.era == MODERN else max(AT_ONCE))]
    for client in clients:
        await greet(client)
    await check_wire(clients[0])
    following = itertools.cycle([client.calls() for client in clients])
    return lambda: next(following)()


async def _saturate(
    targets: list[Target],
    calls: Mapping[str, Callable[[], bytes]],
    progress: Progress,
    at_once: int,
    plan: tuple[int, float],
) -> dict[str, Cell]:
    """So many calls at once, each as soon as the one before is answered."""
    loads: dict[str, list[Load]] = {target.name: [] for target in targets}
    cpu = dict.fromkeys(loads, 0.0)
    made = dict.fromkeys(loads, 0.0)
    rounds, seconds = plan
    for number in range(-1, rounds):  # the first only warms up
        for target in targets:
            lasts = seconds if number >= 0 else seconds / 2
            before = cpu_seconds(target.pid) if target.pid else 0.0
            load = await burst(target.port, calls[target.name], at_once=at_once, seconds=lasts)
            progress.more(lasts)
            if load.failed:
                raise Wrong(f"{target.name}: {load.failed} calls of a burst failed")
            if number >= 0:
                loads[target.name].append(load)
                made[target.name] += load.per_second * lasts
                cpu[target.name] += cpu_seconds(target.pid) - before if target.pid else 0
    direct = loads[DIRECT]
    return {
        target.name: Cell(
            per_second=_median(loads[target.name], lambda x: x.per_second),
            p50_ms=_median(loads[target.name], lambda x: x.p50_ms),
            p99_ms=_median(loads[target.name], lambda x: x.p99_ms),
            added_p50_ms=statistics.median(
                a.p50_ms - b.p50_ms for a, b in zip(loads[target.name], direct, strict=True)
            ),
            cpu_us=cpu[target.name] / made[target.name] * 1e6 if target.pid else None,
        )
        for target in targets
    }


def _median(loads: list[Load], figure: Callable[[Load], float]) -> float:
    return statistics.median(figure(load) for load in loads)


def judge(cells: Cells) -> list[Finding]:
    """The targets of a tool call, and what they came to here."""
    one, many = cells[1][OURS], cells[16][OURS]
    best = {name: max(cells[at][name].per_second for at in AT_ONCE) for name in (OURS, *PEERS)}
    beside = [
        Finding(
            target=f"≥ {FASTER_MIN:.0f}x {name}'s calls per second",
            here=f"{best[OURS]:,.0f} against {best[name]:,.0f}/s: {best[OURS] / best[name]:.1f}x",
            met=best[OURS] / best[name] >= FASTER_MIN,
        )
        for name in PEERS
    ]
    return [
        Finding(
            target=f"a tool call: added p50 ≤ {ADDED_MS_MAX:.0f} ms at concurrency 1",
            here=f"{one.added_p50_ms:.2f} ms",
            met=one.added_p50_ms <= ADDED_MS_MAX,
        ),
        Finding(
            target=f"≥ {PER_SECOND_MIN:.0f} calls/s at concurrency 16",
            here=f"{many.per_second:,.0f}/s",
            met=many.per_second >= PER_SECOND_MIN,
        ),
        *beside,
    ]


def _print(targets: list[Target], cells: Cells) -> None:
    """The table of docs/benchmarks.md, as it is."""
    best = {name: max(cells[at][name].per_second for at in AT_ONCE) for name in cells[1]}
    rows = []
    for target in targets:
        one, many = cells[1][target.name], cells[16][target.name]
        rows.append(
            [
                target.name,
                f"{one.per_second:,.0f}",
                f"{many.per_second:,.0f}",
                f"{one.added_p50_ms:.2f}",
                f"{one.p99_ms:.2f}",
                f"{many.p50_ms:.2f}",
                f"{many.p99_ms:.2f}",
                *("" if cell.cpu_us is None else f"{cell.cpu_us:,.0f}" for cell in (one, many)),
                "" if target.pid is None else f"{memory_mb(target.pid):,.0f}",
                f"{best[target.name] / best[CONTEXTFORGE]:.1f}x",
                f"{best[target.name] / best[FASTMCP]:.1f}x",
            ]
        )
    print_table(
        "MCP tools/call before a raw server, medians of interleaved rounds",
        ["target", "calls/s, 1 at once", "16 at once", "added p50 ms", "p99 ms", "p50 ms, 16",
         "p99 ms, 16", "CPU us/call", "CPU us/call, 16", "memory MB", "ContextForge's",
         "fastmcp's"],
        rows,
    )  # fmt: skip
