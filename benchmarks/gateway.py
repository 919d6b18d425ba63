"""A governed chat call through one process on SQLite, against calling the upstream directly.

Beside both stands a bare relay made of the same server and client, which governs nothing.
"""

import asyncio
import statistics
import time
from collections.abc import Callable

from benchmarks.load import Load, burst, chat_request
from benchmarks.processes import Server, relay, server, upstream
from benchmarks.table import flush_time_ms, print_table

ROUNDS = 5
SECONDS = 2.0
DIRECT, GOVERNED = "/v1/chat/completions", "/openai/v1/chat/completions"


def run() -> None:
    """Interleave direct and governed bursts; print medians of the rounds, and ratios."""
    with (
        upstream() as upstream_port,
        relay(upstream_port) as relay_port,
        server(upstream_port) as governed,
    ):
        time.sleep(1)  # the relay and the loops have started
        memory = governed.memory_mb()
        rows = []
        for streamed in (False, True):
            for at_once in (1, 16):
                ports = (upstream_port, relay_port)
                rows.append(asyncio.run(_compare(ports, governed, streamed, at_once)))
        print_table(
            "governed against direct, medians of 5 interleaved rounds of 2 s",
            ["call", "at once", "direct/s", "bare relay/s", "governed/s", "relay adds p50 ms",
             "governed adds p50 ms", "p99 ms", "first byte ms", "CPU us/call"],
            rows,
        )  # fmt: skip
        print_table(
            "the process",
            ["figure", "value"],
            [
                ["answers after a first start", f"{governed.answered_seconds:.2f} s"],
                ["idle resident memory", f"{memory:.0f} MB"],
                ["resident memory after the load", f"{governed.memory_mb():.0f} MB"],
                ["fdatasync of 8 KB, p50", f"{flush_time_ms(governed.folder):.3f} ms"],
            ],
        )


async def _compare(
    ports: tuple[int, int], governed: Server, streamed: bool, at_once: int
) -> list[str]:
    port, relay_port = ports
    bare_request = chat_request(relay_port, DIRECT, governed.credential, streamed=streamed)
    direct_request = chat_request(port, DIRECT, governed.credential, streamed=streamed)
    request = chat_request(governed.port, GOVERNED, governed.credential, streamed=streamed)
    direct: list[Load] = []
    bare: list[Load] = []
    through: list[Load] = []
    await burst(governed.port, request, at_once=at_once, seconds=0.5)
    cpu, calls = governed.cpu_seconds(), 0.0
    for _ in range(ROUNDS):
        direct.append(await burst(port, direct_request, at_once=at_once, seconds=SECONDS))
        bare.append(await burst(relay_port, bare_request, at_once=at_once, seconds=SECONDS))
        through.append(await burst(governed.port, request, at_once=at_once, seconds=SECONDS))
        calls += through[-1].per_second * SECONDS
    assert not any(load.failed for load in through), "a governed call failed"
    cpu = (governed.cpu_seconds() - cpu) / calls * 1e6

    def median(loads: list[Load], figure: Callable[[Load], float]) -> float:
        return statistics.median(figure(load) for load in loads)

    def added(figure: Callable[[Load], float], loads: list[Load] = through) -> str:
        pairs = zip(loads, direct, strict=True)
        return f"{statistics.median(figure(a) - figure(b) for a, b in pairs):.2f}"

    return [
        "stream of 20 writes" if streamed else "whole answer",
        str(at_once),
        f"{median(direct, lambda x: x.per_second):,.0f}",
        f"{median(bare, lambda x: x.per_second):,.0f}",
        f"{median(through, lambda x: x.per_second):,.0f}",
        added(lambda x: x.p50_ms, bare),
        added(lambda x: x.p50_ms),
        added(lambda x: x.p99_ms),
        added(lambda x: x.first_byte_p50_ms),
        f"{cpu:.0f}",
    ]
