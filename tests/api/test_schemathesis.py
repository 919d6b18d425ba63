"""The API against its own description: requests made from it by the thousand find nothing wrong.

A longer run, with other requests every time:
    export QUARTERDECK_TEST_EXAMPLES=300 QUARTERDECK_TEST_SEED=$RANDOM
    pytest tests/api/test_schemathesis.py
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.fleets import files
from tests.serving import Running, running

CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES = os.environ.get("QUARTERDECK_TEST_EXAMPLES", "8")
SEED = os.environ.get("QUARTERDECK_TEST_SEED", "20261121")
SECONDS_MAX = 200 if EXAMPLES == "8" else 3600


def fleet() -> dict[str, bytes]:
    """The fleet of the tests, with an agent whose name is the first that is tried."""
    named = dict(files())
    agent = named.pop("agents/clerk.yaml").replace(b"name: clerk", b"name: a")
    return {**named, "agents/a.yaml": agent}


async def attack(server: Running, folder: Path, run: str, *, phases: str) -> tuple[int, str]:
    """What schemathesis says of a server, asked as its owner and a run; its exit status first."""
    backups = folder / "backups"
    (backups / "var" / "backups").mkdir(parents=True)  # as in the example
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        f"--config-file={CONFIG}",
        "run",
        f"{server.url}/v1/openapi.json",
        f"--seed={SEED}",
        f"--max-examples={EXAMPLES}",
        f"--phases={phases}",
        "--workers=1",
        "--continue-on-failure",
        "--generation-database=none",
        "--no-color",
        cwd=folder,
        env=os.environ
        | {
            "OWNER_TOKEN": server.house.local_token,
            "RUN_CREDENTIAL": run,
            "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
            "PYTHONPATH": str(CONFIG.parents[2]),
            "QUARTERDECK_TEST_BACKUPS": str(backups),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.timeout(SECONDS_MAX + 20)
@pytest.mark.parametrize("phases", ["examples,coverage", "fuzzing,stateful"])
async def test_nothing_made_from_the_description_breaks_the_api(
    tmp_path: Path, phases: str
) -> None:
    async with asyncio.timeout(SECONDS_MAX), running(tmp_path / "data", fleet()) as server:
        run = await server.start_run("a")
        status, said = await attack(server, tmp_path, run.credential, phases=phases)
        assert status == 0, said
        assert "Authentication failed" not in said, "it was asked as the owner"
        counted = said.rpartition("Test cases:")[2].split()
        assert int(counted[0]) > 200, said
        states = {action["state"] for action in await server.actions(run.id)}
        assert "done" in states, "agents' routes were asked as a run, and did something"
