"""MCP's official conformance suite through the gateway: every required scenario, both revisions.

At `/mcp/{server}`, where names are the server's own; the relay adds the run's credential, because
nobody is served without one. No scenario is expected to fail.
"""

from pathlib import Path

import pytest

from tests.conformance.suite import REVISIONS, required, run_server_suite
from tests.serving import running
from tests.wire.mcp_fleets import SERVER, granting_all
from tests.wire.mcp_processes import fixture
from tests.wire.mcp_relay import relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_gateway_conforms(revision: str, tmp_path: Path) -> None:
    async with fixture(tmp_path) as upstream:
        files = await granting_all(upstream.url)
        async with running(tmp_path / "data", files) as server:
            run = await server.start_run()
            async with relay(f"{server.url}/mcp/{SERVER}", run.credential) as url:
                ran = await run_server_suite(url, revision, tmp_path)
            actions = await server.actions(run.id)
    assert not ran.lacking(required("server", revision)), ran.said[-6000:]
    assert ran.status == 0, ran.said[-6000:]
    # What the suite saw was governed: every call, reading, prompt and question is an action.
    assert {"tool", "resource", "prompt", "elicitation", "sampling"} <= {a["kind"] for a in actions}
