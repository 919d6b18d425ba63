"""How long the command line takes to say what it can do, beside Python doing nothing."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.table import print_table

ROUNDS = 7


def run() -> None:
    """Print medians of `quarterdeck --help` and of an empty Python, in turn."""
    command = [str(Path(sys.executable).parent / "quarterdeck"), "--help"]
    empty = [sys.executable, "-c", "pass"]
    times: dict[str, list[float]] = {"quarterdeck --help": [], "python -c pass": []}
    for _ in range(ROUNDS):
        for name, what in (("quarterdeck --help", command), ("python -c pass", empty)):
            began = time.perf_counter()
            subprocess.run(what, stdout=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - began)
    rows = [[name, f"{statistics.median(seen):.3f} s"] for name, seen in times.items()]
    print_table(f"starting, median of {ROUNDS}", ["command", "wall"], rows)
