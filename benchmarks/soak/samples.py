"""What a process has at a moment, and whether it grows over a soak."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WARM_UP_SHARE: Final = 0.5  # caches fill, the allocator finds its size: only the last half counts
MEMORY_MB_A_MINUTE_MAX: Final = 0.3
DESCRIPTORS_MORE_MAX: Final = 8  # medians of the third and of the last quarter: connections vary
THREADS_MORE_MAX: Final = 4
MEMORY_MINUTES_MIN: Final = 10.0  # before that, slopes tell more of the warm-up than of a leak
MINUTES_MIN: Final = 2.0  # before that, quarters tell nothing at all
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look."""

    at: float
    memory_mb: float
    descriptors: int
    threads: int
    database_mb: float
    health_ms: float
    calls: int
    cpu_seconds: float


def look(pid: int, data: Path, *, at: float, health_ms: float, calls: int) -> Sample:
    """What the process has now."""
    proc = Path(f"/proc/{pid}")
    status = dict(
        line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line
    )
    stat = (proc / "stat").read_text().rpartition(")")[2].split()
    files = [path.stat().st_size for path in data.glob("quarterdeck.db*")]
    return Sample(
        at=at,
        memory_mb=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(list((proc / "fd").iterdir())),
        threads=int(status["Threads"]),
        database_mb=sum(files) / 2**20,
        health_ms=health_ms,
        calls=calls,
        cpu_seconds=(int(stat[11]) + int(stat[12])) / 100,
    )


def slope(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    """Growth a minute in the last half, by the median of all pairs: one odd look moves nothing."""
    late = late_half(samples)
    return (
        statistics.median(
            (figure(b) - figure(a)) / (b.at - a.at) * 60
            for i, a in enumerate(late)
            for b in late[i + 1 :]
        )
        if len(late) > 1
        else 0.0
    )


def late_half(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those after the warm-up."""
    return samples[int(len(samples) * WARM_UP_SHARE) :]


def growth(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    """How much higher the last quarter lies than the third."""
    quarter = max(1, len(samples) // 4)
    before, after = samples[-2 * quarter : -quarter], samples[-quarter:]
    if not before:
        return 0.0
    return statistics.median(map(figure, after)) - statistics.median(map(figure, before))


def leaks(samples: Sequence[Sample]) -> list[str]:
    """What grows that must not, where the soak was long enough to tell."""
    found: list[str] = []
    minutes = (samples[-1].at - samples[0].at) / 60
    if minutes < MINUTES_MIN:
        return found
    memory = slope(samples, lambda s: s.memory_mb)
    if minutes >= MEMORY_MINUTES_MIN and memory > MEMORY_MB_A_MINUTE_MAX:
        found.append(
            f"memory grows by {memory:.2f} MB a minute, at most {MEMORY_MB_A_MINUTE_MAX} may be"
        )
    if (more := growth(samples, lambda s: s.descriptors)) > DESCRIPTORS_MORE_MAX:
        found.append(f"{more:.0f} descriptors more in the last quarter than in the third")
    if (more := growth(samples, lambda s: s.threads)) > THREADS_MORE_MAX:
        found.append(f"{more:.0f} threads more in the last quarter than in the third")
    return found


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """A small plot as text: each mark is the median of a stretch."""
    if not values:
        return ""
    step = max(1, len(values) // width)
    marks = [statistics.median(values[i : i + step]) for i in range(0, len(values), step)]
    low, high = min(marks), max(marks)
    span = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in marks)
