"""`make bench-gateway`: a chat call through Quarterdeck, LiteLLM's proxy and Portkey's gateway.

Beside them a direct call and a bare relay. All stand at once before the same raw upstream, and are
asked in turn, burst by burst, by one load generator. Quarterdeck has everything on and durable; the
peers govern nothing. What every target answers is checked on the wire first. A peer that is absent
or does not start ends the run with what to do about it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.comparison.report import (
    AT_ONCE,
    LITELLM,
    PORTKEY,
    QUARTERDECK,
    RATES,
    RELAY,
    UPSTREAM,
    Cell,
    Cells,
    Steadies,
    figures_of,
    judge,
    print_saturation,
    print_steadies,
    print_summary,
)
from benchmarks.comparison.wire import GOVERNED, Target, Wrong, check_wire
from benchmarks.load import Load, burst
from benchmarks.open_loop import Steady, percentile, steady
from benchmarks.peers import processes as peers
from benchmarks.peers.environments import Absent, versions
from benchmarks.processes import relay, server, upstream
from benchmarks.progress import Progress, interruptible
from benchmarks.table import flush_time_ms, print_table

CEILING_MS_MAX: Final = 5.0  # slower than that at the median, the generator itself is behind


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long everything takes."""

    warm_seconds: float = 4.0  # a first burst of a fresh process is several times slower
    rounds: int = 5
    seconds: float = 1.5
    steady_rounds: int = 3
    steady_seconds: float = 7.0
    json: Path | None = None


def main(arguments: list[str]) -> None:
    """Measure, print, and end with 1 if a target was missed, 2 if something could not be measured.

    Ctrl-C and SIGTERM end every process that was started.
    """
    plan = _plan(arguments)
    try:
        with interruptible(), _standing() as targets:
            found = uvloop.run(_measure(targets, plan))
    except (Absent, Wrong) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    if plan.json is not None:
        plan.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not all(target["met"] for target in found["targets"]):
        sys.exit(1)


def _plan(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="make bench-gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short bursts: a look, not a figure")
    parser.add_argument("--json", type=Path, help="write everything that was measured here")
    told = parser.parse_args(arguments)
    if told.quick:
        return Plan(
            warm_seconds=2, rounds=3, seconds=0.7, steady_rounds=1, steady_seconds=3, json=told.json
        )
    return Plan(json=told.json)


@contextlib.contextmanager
def _standing() -> Iterator[list[Target]]:
    """All targets at once, each ready."""
    with (
        upstream() as port,
        relay(port) as relay_port,
        peers.litellm(port) as litellm,
        peers.portkey() as portkey,
        server(port) as ours,
    ):
        to_upstream = (
            f"x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:{port}/v1\r\n"
        )
        print(f"fdatasync of 8 KB, p50: {flush_time_ms(ours.folder):.3f} ms")
        time.sleep(1)  # the loops have started
        yield [
            Target(name=UPSTREAM, port=port),
            Target(name=RELAY, port=relay_port),
            Target(
                name=QUARTERDECK,
                port=ours.port,
                path=GOVERNED,
                credential=ours.credential,
                pid=ours.process.pid,
            ),
            Target(name=LITELLM, port=litellm.port, pid=litellm.pid),
            Target(name=PORTKEY, port=portkey.port, headers=to_upstream, pid=portkey.pid),
        ]


async def _measure(targets: list[Target], plan: Plan) -> dict[str, Any]:
    began_at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    pinned = versions()
    print(", ".join(f"{name} {version}" for name, version in pinned.items()))
    for target in targets:
        await check_wire(target)
    print("text and usage of every target are right, whole and streamed")
    most = await _offered_most(targets[0])
    print(f"the open-loop generator itself keeps up {most:,} calls/s; {max(RATES)} are asked of it")
    warming = 2 * len(targets) * plan.warm_seconds
    bursts = 2 * len(AT_ONCE) * (plan.rounds + 0.5) * len(targets) * plan.seconds
    offered = len(RATES) * plan.steady_rounds * len(targets) * plan.steady_seconds
    progress = Progress("comparison", warming + bursts + offered)
    for target in targets:
        for streamed in (False, True):
            request = target.request(streamed=streamed)
            await burst(target.port, request, at_once=4, seconds=plan.warm_seconds)
            progress.more(plan.warm_seconds)
    cells: Cells = {}
    for streamed in (False, True):
        for at_once in AT_ONCE:
            cells[streamed, at_once] = await _saturate(targets, plan, progress, streamed, at_once)
    steadies = await _offer(targets, plan, progress)
    progress.end()
    print_saturation(cells)
    print_steadies(steadies)
    print_summary(targets, cells)
    judged = judge(cells, steadies)
    print_table(
        "targets", ["target", "here", ""],
        [[one["name"], one["here"], "PASS" if one["met"] else "FAIL"] for one in judged],
    )  # fmt: skip
    return {
        "began": began_at,
        "load_average": os.getloadavg(),
        "versions": pinned,
        "saturation": [
            {"streamed": key[0], "at_once": key[1], "target": name, **asdict(cell)}
            for key, row in cells.items()
            for name, cell in row.items()
        ],
        "steady": [
            {"rate": rate, "target": name, **figures_of(found)}
            for rate, row in steadies.items()
            for name, found in row.items()
            if found is not None
        ],
        "targets": judged,
    }


async def _saturate(
    targets: list[Target], plan: Plan, progress: Progress, streamed: bool, at_once: int
) -> dict[str, Cell]:
    """So many calls at once, each as soon as the one before is answered; targets in turn."""
    loads: dict[str, list[Load]] = {target.name: [] for target in targets}
    cpu: dict[str, float] = dict.fromkeys(loads, 0.0)
    calls: dict[str, float] = dict.fromkeys(loads, 0.0)
    for number in range(-1, plan.rounds):  # the first only warms up
        seconds = plan.seconds if number >= 0 else plan.seconds / 2
        for target in targets:
            before = peers.cpu_seconds(target.pid) if target.pid else 0.0
            request = target.request(streamed=streamed)
            load = await burst(target.port, request, at_once=at_once, seconds=seconds)
            progress.more(seconds)
            if load.failed:
                raise Wrong(f"{target.name}: {load.failed} calls of a burst failed")
            if number >= 0:
                loads[target.name].append(load)
                calls[target.name] += load.per_second * seconds
                cpu[target.name] += peers.cpu_seconds(target.pid) - before if target.pid else 0
    direct = loads[UPSTREAM]
    return {
        target.name: Cell(
            per_second=_median(loads[target.name], lambda x: x.per_second),
            p50_ms=_median(loads[target.name], lambda x: x.p50_ms),
            p99_ms=_median(loads[target.name], lambda x: x.p99_ms),
            first_byte_ms=_median(loads[target.name], lambda x: x.first_byte_p50_ms),
            added_p50_ms=statistics.median(
                a.p50_ms - b.p50_ms for a, b in zip(loads[target.name], direct, strict=True)
            ),
            cpu_us=cpu[target.name] / calls[target.name] * 1e6 if target.pid else None,
        )
        for target in targets
    }


def _median(loads: list[Load], figure: Callable[[Load], float]) -> float:
    return statistics.median(figure(load) for load in loads)


async def _offer(targets: list[Target], plan: Plan, progress: Progress) -> Steadies:
    """Whole answers at fixed rates; who could not follow one rate is not asked for a higher one."""
    found: Steadies = {}
    for rate in RATES:
        lower = [row for r, row in found.items() if r < rate]
        row: dict[str, Steady | None] = {target.name: None for target in targets}
        for number in range(plan.steady_rounds):
            for target in targets:
                behind = any(not _followed(r[target.name]) for r in lower)
                progress.more(plan.steady_seconds)
                if behind:
                    continue
                so_far = row[target.name]
                if so_far is not None and not so_far.followed:
                    continue
                request = target.request(streamed=False)
                one = await steady(
                    target.port, request, rate=rate, seconds=plan.steady_seconds, seed=number
                )
                row[target.name] = one if so_far is None else so_far + one
                await _quiet(target)
        found[rate] = row
    return found


def _followed(found: Steady | None) -> bool:
    return found is not None and found.followed


async def _offered_most(direct: Target) -> int:
    """The highest rate the open-loop generator itself can keep up, against the raw upstream."""
    most = 0
    for rate in (1000, 2000, 4000, 8000):
        found = await steady(direct.port, direct.request(streamed=False), rate=rate, seconds=1.5)
        if not found.followed or percentile(found.times_ms, 0.5) > CEILING_MS_MAX:
            break
        most = rate
    return most


async def _quiet(target: Target) -> None:
    """A backlog one target was left with is not what the next one is measured beside."""
    for _ in range(50):
        before = peers.cpu_seconds(target.pid) if target.pid else 0.0
        await asyncio.sleep(0.2)
        if target.pid is None or peers.cpu_seconds(target.pid) - before < 0.1:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
