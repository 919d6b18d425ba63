"""Plays the examples as their users do: in the framework's own environment, governed by a run."""

import asyncio
import base64
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quarterdeck.cli.runs import environment
from quarterdeck.services.runs import StartedRun
from quarterdeck_standin.app import StandIn
from quarterdeck_standin.script import load_script
from quarterdeck_standin.server import serving
from tests.serving import OWNER, Running, running

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples" / "frameworks"
ENVIRONMENTS: Final = ROOT / ".tools" / "frameworks"
STANDIN: Final = "http://127.0.0.1:8099"
ANSWER: Final = "Order 7 is late since Monday. I filed a note."
PATIENCE_SECONDS: Final = 100
FILES: Final = (".yaml", ".md", ".py")
GRANTS: Final = re.compile(r"\ntools: \[.*\]\n")
#: What the fleet charges for a million tokens in and out, in nano-USD for one.
PRICES: Final = {"standin-1": (150, 600), "standin-2": (1000, 5000)}


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A server with the examples' fleet in force, the stand-in as its vendors, and one run."""

    server: Running
    vendor: StandIn
    run: StartedRun
    home: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """A bare environment with what `runs start --external` prints."""
        url = self.server.url
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            **environment(url, url, self.run.id, self.run.credential),
        }

    async def play(self, python: Path, *program: str, **more: str) -> Ended:
        """Run a program to its end."""
        process = await asyncio.create_subprocess_exec(
            str(python),
            *program,
            env={**self.environment, **more},
            cwd=self.home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            raise AssertionError(f"it did not end: {out!r} {err[-4000:]!r}") from None
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def actions(self) -> list[dict[str, Any]]:
        """The run's actions."""
        return await self.server.actions(self.run.id)

    async def shown(self, row: Mapping[str, Any]) -> tuple[Any, Any]:
        """A tool's arguments and its result, as they are on record."""
        shown = await self.server.house.services.actions.show(OWNER, row["id"])
        return shown["request"]["rest"], shown["response"]

    def last_request(self) -> str:
        """The body of what the vendor was last asked."""
        assert self.vendor.requests, "the vendor was asked nothing"
        return base64.b64decode(self.vendor.requests[-1]["body_base64"]).decode()

    async def check_accounts(self) -> list[dict[str, Any]]:
        """Every call is an action, with the tokens the vendor counted, at the fleet's prices."""
        rows = await self.actions()
        counted = self.vendor.tally.totals()
        models = [row for row in rows if row["kind"] == "model" and row["state"] == "done"]
        assert len(models) == counted["requests"] == counted["answered"], (rows, counted)
        assert sum(row["usage"]["input"] for row in models) == counted["input_tokens"]
        assert sum(row["usage"]["output"] for row in models) == counted["output_tokens"]
        for row in models:
            assert row["usage_source"] == "reported", row
            dear_in, dear_out = PRICES[row["target"].rpartition("/")[2]]
            cost = row["usage"]["input"] * dear_in + row["usage"]["output"] * dear_out
            assert row["cost_nanousd"] == cost, row
        [budget] = await self.server.house.services.costs.budgets_of(OWNER, "agent:assistant")
        assert budget["charged"] == sum(row["cost_nanousd"] for row in rows)
        assert budget["held"] == 0
        return rows


def python_of(framework: str) -> Path:
    """The framework's own interpreter; without it the test fails."""
    path = ENVIRONMENTS / framework / "bin" / "python"
    assert path.exists(), f"no environment for {framework}: run `make test-frameworks`"
    return path


THIS: Final = Path(sys.executable)


@contextlib.asynccontextmanager
async def staged(
    folder: Path, *, grants: str = "file_note", of: str = "fleet"
) -> AsyncIterator[Stage]:
    """The examples' fleet and script, on free ports; `grants` are the agent's tools."""
    home, house = folder / "home", folder / "house"
    home.mkdir()
    house.mkdir()
    vendor = StandIn(load_script(EXAMPLES / "answers.yaml"), keep_requests=True)
    async with serving(vendor) as url, running(house, fleet(url, grants, of)) as server:
        run = await server.start_run("assistant")
        yield Stage(server, vendor, run, home)


def fleet(vendor: str, grants: str, of: str) -> dict[str, bytes]:
    """The examples' fleet folder, with the stand-in where it really is."""
    folder = EXAMPLES / of
    found = {}
    for path in sorted(path for path in folder.rglob("*.*") if path.suffix in FILES):
        text = path.read_text(encoding="utf-8").replace(STANDIN, vendor)
        text = GRANTS.sub(f"\ntools: [{grants}]\n", text)
        found[str(path.relative_to(folder))] = text.encode()
    return found
