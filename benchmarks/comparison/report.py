"""What came of a comparison: figures, tables, and whether the targets were met."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from benchmarks.comparison.wire import Target
from benchmarks.open_loop import Steady, percentile
from benchmarks.peers.processes import memory_mb
from benchmarks.table import print_table

AT_ONCE: Final = (1, 16)
RATES: Final = (50, 100, 200, 400)
STEADY_RATE: Final = 100  # the one the second target is looked at beside concurrency 1
SAMPLES_MIN: Final = 1000  # fewer say nothing about the slowest of a thousand
FASTER_MIN: Final = 10.0
QUARTERDECK, LITELLM, PORTKEY = "Quarterdeck, governed", "LiteLLM", "Portkey"
RELAY, UPSTREAM = "bare relay", "direct"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Medians of the rounds of one target under one load."""

    per_second: float
    p50_ms: float
    p99_ms: float
    first_byte_ms: float
    added_p50_ms: float
    cpu_us: float | None


#: By whether they were streamed and how many at once, then by target.
Cells: TypeAlias = dict[tuple[bool, int], dict[str, Cell]]
#: By rate, then by target; None for one that was not asked.
Steadies: TypeAlias = dict[int, dict[str, Steady | None]]


def judge(cells: Cells, steadies: Steadies) -> list[dict[str, Any]]:
    """The two targets, and what they came to here."""
    best = {
        name: max(cells[False, at_once][name].per_second for at_once in AT_ONCE)
        for name in (QUARTERDECK, LITELLM)
    }
    ratio = best[QUARTERDECK] / best[LITELLM]
    ours, theirs = (cells[False, 1][name].added_p50_ms for name in (QUARTERDECK, PORTKEY))
    added = {}
    for name in (QUARTERDECK, PORTKEY):
        through, direct = steadies[STEADY_RATE][name], steadies[STEADY_RATE][UPSTREAM]
        if through is not None and direct is not None and through.followed:
            added[name] = percentile(through.times_ms, 0.5) - percentile(direct.times_ms, 0.5)
    beside = ", ".join(f"{name} {value:.2f}" for name, value in added.items())
    return [
        {
            "name": f"≥ {FASTER_MIN:.0f}x LiteLLM's calls per second, governed",
            "here": f"{best[QUARTERDECK]:,.0f} against {best[LITELLM]:,.0f}/s: {ratio:.1f}x",
            "met": ratio >= FASTER_MIN,
        },
        {
            "name": "added p50 below Portkey's, which governs nothing",
            "here": f"{ours:.2f} against {theirs:.2f} ms at concurrency 1"
            f" (at {STEADY_RATE}/s: {beside or 'not followed'})",
            "met": ours < theirs,
        },
    ]


def figures_of(found: Steady) -> dict[str, Any]:
    """What is kept of it."""
    return {
        "followed": found.followed,
        "offered": found.offered,
        "answered": len(found.times_ms),
        "failed": found.failed,
        "p50_ms": percentile(found.times_ms, 0.5),
        "p99_ms": percentile(found.times_ms, 0.99),
        "p99_9_ms": percentile(found.times_ms, 0.999),
        "generator_late_p99_ms": percentile(found.late_ms, 0.99),
    }


def print_saturation(cells: Cells) -> None:
    """Calls as fast as they are answered, and the generator's own ceiling."""
    ceiling = max(cell.per_second for row in cells.values() for cell in row.values())
    print(f"\nthe load generator's own ceiling, against the raw upstream: {ceiling:,.0f} calls/s")
    for (streamed, at_once), row in cells.items():
        call = "streams of 20 writes" if streamed else "whole answers"
        print_table(
            f"saturation: {call}, {at_once} at once, medians of interleaved rounds",
            ["target", "calls/s", "LiteLLM's", "p50 ms", "added p50 ms", "p99 ms", "first byte ms",
             "CPU us/call"],
            [
                [
                    name,
                    f"{cell.per_second:,.0f}",
                    f"{cell.per_second / row[LITELLM].per_second:.1f}x",
                    f"{cell.p50_ms:.2f}",
                    f"{cell.added_p50_ms:.2f}",
                    f"{cell.p99_ms:.2f}",
                    f"{cell.first_byte_ms:.2f}",
                    "" if cell.cpu_us is None else f"{cell.cpu_us:,.0f}",
                ]
                for name, cell in row.items()
            ],
        )  # fmt: skip


def print_summary(targets: list[Target], cells: Cells) -> None:
    """The table of docs/benchmarks.md, as it is."""
    rows = []
    for target in targets:
        one, many = cells[False, 1][target.name], cells[False, 16][target.name]
        cpu = "" if one.cpu_us is None else f"{one.cpu_us:,.0f}"
        rows.append(
            [
                target.name,
                f"{one.per_second:,.0f}",
                f"{many.per_second:,.0f}",
                f"{one.added_p50_ms:.2f}",
                f"{cells[True, 1][target.name].per_second:,.0f}",
                f"{cells[True, 16][target.name].per_second:,.0f}",
                cpu,
                "" if target.pid is None else f"{memory_mb(target.pid):,.0f}",
            ]
        )
    print_table(
        "for docs/benchmarks.md",
        ["target", "calls/s, 1 at once", "16 at once", "added p50 ms", "streams/s, 1 at once",
         "16 at once", "CPU us/call", "memory MB"],
        rows,
    )  # fmt: skip


def print_steadies(steadies: Steadies) -> None:
    """Calls at fixed rates, a line for each target."""
    names = list(next(iter(steadies.values())))
    print_table(
        "whole answers at fixed rates (Poisson), from the moment each was meant to begin:"
        " p50 / p99 / p99.9 ms",
        ["target", *(f"{rate}/s" for rate in steadies)],
        [[name, *(_steady_words(row[name]) for row in steadies.values())] for name in names],
    )
    found = [one for row in steadies.values() for one in row.values() if one is not None]
    late = sorted(ms for one in found for ms in one.late_ms)
    half, most = percentile(late, 0.5), percentile(late, 0.99)
    print(
        f"\nthe generator began calls late by {half:.2f} ms at the median, {most:.2f} ms at p99;"
        " it is inside every figure"
    )


def _steady_words(found: Steady | None) -> str:
    if found is None:
        return "does not follow less"
    if not found.followed:
        answered = len(found.times_ms) / found.offered
        return f"does not follow: {answered:.0%} answered in time"
    shares = [0.5, 0.99, *([0.999] if len(found.times_ms) >= SAMPLES_MIN else [])]
    said = " / ".join(f"{percentile(found.times_ms, share):.1f}" for share in shares)
    return said if len(shares) == 3 else f"{said} / too few"
