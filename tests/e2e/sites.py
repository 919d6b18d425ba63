"""A site: several processes of the product on one PostgreSQL database, as a larger team runs it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.e2e.processes import Launcher, Process, launching, run_as_a_program
from tests.e2e.traffic import fleet_files, script

TOLL: Final = """
name: toll
owner: ann
team: desk
purpose: Spends what it may.
autonomy: L2
models:
  main: {vendor: local, model: small-1}
prompt: prompts/clerk.md
tools: [pay]
radius: {written: 100}
budgets: [{unit: usd, per: day, amount: "CAP"}]
"""
TOLL_CAP_USD: Final = "0.3"  # a hundred payments at 0.003 USD, and no more


@dataclass(frozen=True, slots=True)
class Site:
    """Gateways, a worker, a console, and the vendor they call."""

    launcher: Launcher
    gateways: tuple[Process, ...]
    worker: Process
    console: Process
    standin: Process
    keys: dict[str, str]

    def start_run(self, agent: str = "clerk") -> dict[str, Any]:
        """A run, started where the API is."""
        return run_as_a_program(self.console.url, self.keys[agent], agent)


@contextmanager
def opened(folder: Path, database_url: str, *, gateways: int) -> Iterator[Site]:
    """A site with a fleet in force and a key for each of its agents."""
    with launching(folder) as launcher:
        master = folder / "master.key"
        master.touch(mode=0o600)
        master.write_text(secrets.token_hex(32))
        launcher.settings["QUARTERDECK_DATABASE_URL"] = database_url
        launcher.settings["QUARTERDECK_KEY_FILE"] = str(master)
        standin = launcher.standin(script())
        found = fleet_files(standin.url, launcher.effects)
        found["agents/toll.yaml"] = TOLL.replace("CAP", TOLL_CAP_USD).encode()
        launcher.run("apply", str(launcher.write(found)))
        keys = {
            agent: launcher.run("keys", "issue", agent).said["secret"]
            for agent in ("clerk", "toll")
        }
        *serving, worker, console = launcher.serve(*["gateway"] * gateways, "worker", "console")
        yield Site(launcher, tuple(serving), worker, console, standin, keys)
