"""What a result of 1 MB does to everybody else: the longest turn of the event loop."""

import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.comparison.wire import Wrong
from benchmarks.mcp import fleets
from benchmarks.mcp.report import Finding
from benchmarks.mcp.upstream import BIG_BYTES
from benchmarks.mcp.wire import Target, asked, check_wire, message_of
from benchmarks.processes import listening, write_fleet
from benchmarks.table import print_table

BLOCK_MS_MAX: Final = 5.0
CALLS: Final = 40


def longest_block(findings: list[Finding], *, quick: bool) -> Any:
    """Calls with small results and with big ones, one at a time, and the longest turn of each."""
    with tempfile.TemporaryDirectory() as name, listening("benchmarks.mcp.upstream", "2") as port:
        files = fleets.of_servers({"raw": f"http://127.0.0.1:{port}/mcp"}, 2)
        fleet = write_fleet(Path(name), port, files)
        found = asyncio.run(_measured(fleet, 10 if quick else CALLS))
    print_table(
        "the longest turn of the event loop in one call, ms",
        ["result", "median", "worst", "median, its processor time", "worst, its processor time"],
        [
            [
                size,
                *(f"{statistics.median(turns):.2f}" if middle else f"{max(turns):.2f}"
                  for turns in zip(*pairs, strict=True) for middle in (True, False)),
            ]
            for size, pairs in found.items()
        ],
    )  # fmt: skip
    worst = max(cpu for _, cpu in found["1 MB"])
    middle = statistics.median(wall for wall, _ in found["1 MB"])
    findings.append(
        Finding(
            target=f"a result of 1 MB blocks the loop for at most {BLOCK_MS_MAX:.0f} ms",
            here=f"{worst:.2f} ms of processor time at the worst, {middle:.2f} ms at the median",
            met=max(worst, middle) <= BLOCK_MS_MAX,
        )
    )
    return found


async def _measured(fleet: Path, calls: int) -> dict[str, list[tuple[float, float]]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.mcp.watched", str(fleet)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = json.loads(await process.stdout.readline())
        target = Target(
            name="watched", path="/mcp/raw", port=said["port"], credential=said["credential"]
        )
        await check_wire(target)
        return {
            "0.6 kB": await _turns(process, target, "look_up", calls),
            "1 MB": await _turns(process, target, "big", calls),
        }
    finally:
        process.kill()
        await process.wait()


async def _turns(
    process: asyncio.subprocess.Process, target: Target, tool: str, calls: int
) -> list[tuple[float, float]]:
    requests = target.calls(tool)
    found = []
    for number in range(-3, calls):  # the first ones only warm up
        await _taken(process)
        status, _, body = await asked(target, requests())
        text = message_of(body)["result"]["content"][0]["text"] if status == 200 else ""
        if status != 200 or (tool == "big" and len(text) != BIG_BYTES):
            raise Wrong(f"{tool} answered {status}: {body[:300]!r}")
        await asyncio.sleep(0.05)  # what is settled afterwards belongs to the call
        turn = await _taken(process)
        if number >= 0:
            found.append(turn)
    return found


async def _taken(process: asyncio.subprocess.Process) -> tuple[float, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    wall, cpu = json.loads(await process.stdout.readline())
    return wall, cpu
