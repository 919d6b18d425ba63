"""MCP's official conformance suite, on our upstream client: how servers are met, asked and trusted.

Its authorisation scenarios are played with a user who consents: the issuers are the suite's.
"""

from pathlib import Path

import pytest

from tests.conformance.client import playing
from tests.conformance.suite import REVISIONS, required, run_client_suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_our_upstream_client_conforms(revision: str, tmp_path: Path) -> None:
    async with playing() as command:
        ran = await run_client_suite(command, revision, tmp_path)
    assert not ran.lacking(required("client", revision)), ran.said[-6000:]
    assert ran.status == 0, ran.said[-6000:]
