"""Plain tables, and the one figure of the disk that every durable figure depends on."""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table, so that it can be pasted into docs/benchmarks.md as it is."""
    print(f"\n{title}\n")
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join(["---"] * len(columns)) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def flush_time_ms(folder: Path, count: int = 200) -> float:
    """How long the disk takes to acknowledge 8 KB, median of `count`."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(count):
            os.write(file.fileno(), b"x" * 8192)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000
