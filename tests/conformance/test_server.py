"""MCP's official conformance suite, on a server: our fixture by itself, and through the gateway."""

from pathlib import Path

import pytest

from tests.conformance.suite import REVISIONS, required, run_server_suite
from tests.wire.mcp_processes import fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_fixture_conforms_by_itself(revision: str, tmp_path: Path) -> None:
    """What fails through the gateway and not here is the gateway's fault."""
    async with fixture(tmp_path) as server:
        ran = await run_server_suite(server.url, revision, tmp_path)
    assert not ran.lacking(required("server", revision)), ran.said[-6000:]
    assert ran.status == 0, ran.said[-6000:]
