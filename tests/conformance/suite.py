"""Runs MCP's official conformance suite and reads what it says, scenario by scenario.

Never with expected failures: a scenario that a revision requires passes, or the test fails. That it
ran at all is counted too, because a scenario without a check is no pass.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import yaml

from tests.node.environment import CONFORMANCE, FOLDER, conformance_command

REVISIONS: Final = ("2025-11-25", "2026-07-28")
SUITE_SECONDS_MAX: Final = 150
SCENARIO_MS_MAX: Final = 20_000
Role = Literal["server", "client"]
_LINE: Final = re.compile(r"^[✓✗~] (?P<name>\S+): (?P<passed>\d+) passed, (?P<failed>\d+) failed")


@dataclass(frozen=True, slots=True)
class Ran:
    """What the suite said: how it ended, and checks passed and failed by scenario."""

    status: int
    said: str
    checks: Mapping[str, tuple[int, int]]

    def lacking(self, wanted: Sequence[str]) -> dict[str, tuple[int, int] | None]:
        """The wanted scenarios that did not run, checked nothing, or failed."""
        found = {name: self.checks.get(name) for name in wanted}
        return {n: c for n, c in found.items() if c is None or c[0] == 0 or c[1] != 0}


def required(role: Role, revision: str) -> list[str]:
    """The scenarios a revision requires of a role, by the suite's own list."""
    folder = (FOLDER / CONFORMANCE).parents[1] / "requirements"
    lists = yaml.safe_load((folder / f"{revision}.yaml").read_text(encoding="utf-8"))
    return list(lists[role])


async def run_server_suite(url: str, revision: str, folder: Path) -> Ran:
    """All that a revision requires of a server."""
    return await _run(["server", "--url", url, "--requirements", revision], folder)


async def run_client_suite(command: str, revision: str, folder: Path) -> Ran:
    """All that a revision requires of a client, which is started anew for each scenario."""
    return await _run(["client", "--command", command, "--requirements", revision], folder)


async def _run(arguments: list[str], folder: Path) -> Ran:
    limits = ["--timeout", str(SCENARIO_MS_MAX), "--output-dir", str(folder / "results")]
    process = await asyncio.create_subprocess_exec(
        *conformance_command(),
        *arguments,
        *limits,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SUITE_SECONDS_MAX):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        out, _ = await process.communicate()
        raise AssertionError(f"the suite did not end: {out.decode()[-4000:]}") from None
    said = out.decode()
    assert process.returncode is not None
    return Ran(process.returncode, said, _checks(said))


def _checks(said: str) -> dict[str, tuple[int, int]]:
    found = (_LINE.match(line) for line in said.splitlines())
    return {m["name"]: (int(m["passed"]), int(m["failed"])) for m in found if m is not None}
