"""A server, a run, and code that believes it was started inside of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.domain.runs import RunFilters
from quarterdeck.services.runs import StartedRun
from quarterdeck_sdk.scope import AGENT_KEY, CREDENTIAL, RUN, URL
from tests.fleets import files
from tests.serving import OWNER, Running, running


@dataclass
class Inside:
    """A run this process is inside of, as `quarterdeck exec` would have started it."""

    server: Running
    run: StartedRun


async def listed(server: Running) -> list[dict[str, Any]]:
    """All runs, the newest first."""
    return await server.house.services.runs.list_page(OWNER, RunFilters())


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """Quarterdeck on a socket, named in the environment."""
    async with running(tmp_path, files()) as found:
        monkeypatch.setenv(URL, found.url)
        yield found


@pytest.fixture
async def inside(server: Running, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """A run in the environment."""
    run = await server.start_run()
    monkeypatch.setenv(RUN, run.id)
    monkeypatch.setenv(CREDENTIAL, run.credential)
    return Inside(server, run)


@pytest.fixture
async def key(server: Running, monkeypatch: pytest.MonkeyPatch) -> str:
    """An agent key in the environment."""
    issued = await server.house.services.keys.issue(OWNER, "clerk")
    monkeypatch.setenv(AGENT_KEY, issued.secret)
    return issued.secret
