"""Targets, and what they came to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.table import print_table


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One target of the issue, and the figure of this run."""

    target: str
    here: str
    met: bool

    def as_json(self) -> dict[str, Any]:
        """What is kept of it."""
        return asdict(self)


def print_findings(findings: Sequence[Finding]) -> None:
    """All targets, met or not."""
    print_table(
        "targets",
        ["target", "here", ""],
        [[found.target, found.here, "PASS" if found.met else "FAIL"] for found in findings],
    )
