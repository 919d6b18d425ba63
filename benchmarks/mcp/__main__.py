"""`make bench-mcp`: an MCP tool call through Quarterdeck, ContextForge and fastmcp's proxy.

Beside them a direct call and a bare relay. All stand at once before the same raw server, and are
asked in turn, burst by burst, by one load generator. Quarterdeck has everything on and durable, the
peers do as little as they can. Then: what a result of 1 MB does to the loop, 100 servers of 50
tools, and what a sick server does to the others.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.comparison.wire import Wrong
from benchmarks.mcp import fleets
from benchmarks.mcp.beside import CONTEXTFORGE, DIRECT, FASTMCP, OURS, RELAY, compare
from benchmarks.mcp.heavy import longest_block
from benchmarks.mcp.many import many_servers
from benchmarks.mcp.report import Finding, print_findings
from benchmarks.mcp.sick import sick_server
from benchmarks.mcp.wire import LEGACY, Target
from benchmarks.peers import processes as peers
from benchmarks.peers.environments import Absent, versions
from benchmarks.processes import listening, relay, server
from benchmarks.progress import interruptible
from benchmarks.table import flush_time_ms

PARTS = ("beside", "heavy", "many", "sick")
UPSTREAM = "benchmarks.mcp.upstream"


def main(arguments: list[str]) -> None:
    """Measure, print, and end with 1 if a target was missed, 2 if something could not be measured.

    Ctrl-C and SIGTERM end every process that was started.
    """
    parser = argparse.ArgumentParser(prog="make bench-mcp", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all unless named")
    parser.add_argument("--quick", action="store_true", help="short bursts: a look, not a figure")
    parser.add_argument("--json", type=Path, help="write everything that was measured here")
    told = parser.parse_args(arguments)
    if unknown := set(told.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {"began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
    findings: list[Finding] = []
    try:
        with interruptible():
            for part in told.parts or PARTS:
                found[part] = _measured(part, findings, quick=told.quick)
    except (Absent, Wrong) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    print_findings(findings)
    found["load_average"] = os.getloadavg()
    found["targets"] = [finding.as_json() for finding in findings]
    if told.json is not None:
        told.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not all(finding.met for finding in findings):
        sys.exit(1)


def _measured(part: str, findings: list[Finding], *, quick: bool) -> Any:
    if part == "beside":
        with _standing() as targets:
            return uvloop.run(compare(targets, findings, quick=quick))
    measure = {"heavy": longest_block, "many": many_servers, "sick": sick_server}[part]
    return measure(findings, quick=quick)


@contextlib.contextmanager
def _standing() -> Iterator[list[Target]]:
    """All targets at once, each ready."""
    pinned = versions()
    print(", ".join(f"{name} {pinned[name]}" for name in ("contextforge", "fastmcp")))
    with listening(UPSTREAM, "10") as port:
        files = fleets.of_servers({"raw": f"http://127.0.0.1:{port}/mcp"}, 10)
        with (
            relay(port) as relay_port,
            peers.contextforge(port) as contextforge,
            peers.fastmcp(port) as fastmcp,
            server(port, files) as ours,
        ):
            print(f"fdatasync of 8 KB, p50: {flush_time_ms(ours.folder):.3f} ms")
            time.sleep(1)  # the loops have started
            governed = {
                "port": ours.port,
                "credential": ours.credential,
                "pid": ours.process.pid,
                "path": "/mcp/raw",
            }
            yield [
                Target(name=DIRECT, port=port),
                Target(name=RELAY, port=relay_port),
                Target(name=OURS, **governed),
                Target(name=f"{OURS}, {LEGACY}", era=LEGACY, **governed),
                Target(
                    name=CONTEXTFORGE,
                    port=contextforge.port,
                    path="/mcp/",
                    credential=contextforge.credential,
                    tool="raw-look-up",
                    era=LEGACY,
                    pid=contextforge.pid,
                ),
                Target(name=FASTMCP, port=fastmcp.port, era=LEGACY, pid=fastmcp.pid),
            ]


if __name__ == "__main__":
    main(sys.argv[1:])
