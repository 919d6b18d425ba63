"""An owner signs in at an MCP server's issuer, and agents use the server as that owner allowed.

The issuer is a real provider, the server the official SDK's as a resource server of it, the command
a process; only the clicks in the browser are played.
"""

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
import yaml

from tests.e2e.processes import Launcher, Process, run_as_a_program
from tests.node.provider import provider
from tests.wire.mcp_fleets import SERVER, asked, granting_all
from tests.wire.mcp_processes import fixture

pytestmark = pytest.mark.timeout(120)
#: Less than is left at the end of a token when it is refreshed: each call refreshes.
TOKEN_SECONDS = 20
STEPS_MAX = 12


async def fleet(folder: Path, url: str, issuer: str) -> dict[str, bytes]:
    """Everything of the fixture granted, at a server where somebody must sign in."""
    (folder / "open").mkdir()
    async with fixture(folder / "open") as open_to_all:
        files = await granting_all(open_to_all.url)
    entry = {"name": SERVER, "protocol": "mcp", "url": url, "secret": "TRACKER"}
    written = yaml.safe_dump(entry | {"consent": {"issuer": issuer}})
    return files | {f"servers/{SERVER}.yaml": written.encode()}


async def browse(url: str) -> None:
    """Open an address, and go wherever one is sent, to the end."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as browser:
        answer = await browser.get(url)
        for _ in range(STEPS_MAX):
            if not answer.is_redirect:
                break
            answer = await browser.get(urljoin(str(answer.request.url), answer.headers["location"]))
        assert (answer.status_code, "close this page" in answer.text) == (200, True), answer.text


async def sign_in(launcher: Launcher, server: Process) -> str:
    """The command, and a browser that does as it says; what the command said in the end."""
    more = {"QUARTERDECK_URL": server.url, "QUARTERDECK_TOKEN": launcher.token()}
    command = launcher.spawn("quarterdeck", "servers", "sign-in", SERVER, more=more)
    found = None
    for _ in range(300):
        if found := re.search(r"http://\S+/auth\?\S+", command.logged()):
            break
        await asyncio.sleep(0.1)
    assert found, command.logged()
    await browse(found[0])
    out, _ = await asyncio.to_thread(command.popen.communicate, timeout=30)
    assert command.popen.returncode == 0, command.logged()
    return out + command.logged()


async def call(server: Process, credential: str) -> dict[str, Any]:
    """A tool, called by the agent."""
    url = f"{server.url}/mcp/{SERVER}"
    call = {"name": "test_simple_text", "arguments": {}}
    return await asked(url, "tools/call", credential=credential, **call)


async def test_an_owner_signs_in_once_and_agents_may_call(launcher: Launcher) -> None:
    """Before, nothing is there, and people are told why; afterwards tokens refresh themselves."""
    async with (
        provider(launcher.folder, seconds=TOKEN_SECONDS) as issuer,
        fixture(launcher.folder, issuer=issuer.url) as tracker,
    ):
        files = await fleet(launcher.folder, tracker.url, issuer.url)
        server = launcher.up("--fleet", str(launcher.write(files)))
        credential = run_as_a_program(server.url, launcher.token())["credential"]

        with pytest.raises(AssertionError, match="Unknown tool"):
            await call(server, credential)
        assert tracker.got() == []
        [shown] = launcher.run("servers", "list").said["items"]
        assert "nobody has signed in" in shown["problem"]

        said = await sign_in(launcher, server)
        assert "Signed in at fixture (tools, offline_access)." in said

        for _ in range(3):
            done = await call(server, credential)
            assert done["content"][0]["text"] == "This is a simple text response for testing."
        assert len(tracker.got("tools/call")) == 3
        listed = launcher.run("secrets", "list").out
        assert "TRACKER" in listed
        consent = launcher.run("servers", "show", SERVER).said["consent"]
        assert (consent["state"], consent["renews"]) == ("granted", True)
        assert consent["by"].startswith("local:"), "a refresh leaves who granted it"

        assert launcher.run("servers", "sign-out", SERVER).said == {"signed_out": SERVER}
        with pytest.raises(AssertionError):
            await call(server, credential)
        assert len(tracker.got("tools/call")) == 3
        assert server.stop() == 0
    assert "refresh_token" not in said + listed + str(consent) + server.logged()
