"""Sign-ins at servers, over HTTP and in the console: who granted what, until when, withdrawn."""

import re
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.assembly import House
from quarterdeck.domain.consents import Client, Granted, Issuer
from tests.api.calling import calling, error_of
from tests.console.stage import hidden, stage, text_of
from tests.serving import OWNER
from tests.wire.mcp_servers import McpServer, fleet_of, http, listening, tool

ECHO = tool("echo", "Says what it is told.")
TOKEN, RENEWAL = "token-of-ann", "renewal-of-ann"


def folder_of(mcp: McpServer, issuer: str = "https://auth.example") -> dict[str, bytes]:
    """A fleet whose one server lets nobody in who did not sign in."""
    consent = {"secret": "TRACKER", "consent": {"issuer": issuer}}
    return fleet_of(("tracker", mcp), tools={"echo": ("tracker", ECHO)}, server=consent)


def granted(until: float | None, *, renewal: str | None = None, at: str = "") -> Granted:
    """What ann granted; tokens are renewed `at` an address."""
    where = Issuer(
        issuer="https://auth.example",
        authorization_endpoint="https://auth.example/authorize",
        token_endpoint=at or "https://auth.example/token",
    )
    return Granted(
        issuer=where,
        client=Client(issuer=where.issuer, id="us"),
        resource="https://tracker.example/mcp",
        scopes=("read", "offline_access"),
        access_token=TOKEN,
        refresh_token=renewal,
        until=until,
        by="local:ann",
        at=1_795_000_000_000_000,
    )


async def keep(house: House, value: str) -> None:
    """What signing in leaves behind."""
    await house.services.secrets.put(OWNER, "TRACKER", value)


async def look(house: House) -> None:
    """Have the server looked at, which takes its token."""
    fleet = await house.bindings.in_force()
    assert fleet is not None
    catalog = house.tools.mcp.catalog
    catalog.opened(fleet.servers["tracker"])  # type: ignore[index]  # its name
    await catalog.refresh(fleet.servers.values(), frozenset(("echo",)))
    await catalog.settled()


@pytest.mark.parametrize(
    ("value", "state", "says"),
    [
        (None, "nobody", "nobody has signed in"),
        ("a-key-set-by-hand", "nobody", "is set to something else"),
        (granted(4e9), "granted", "as was granted"),
        (granted(None), "granted", "as was granted"),
        (granted(1.0, renewal=RENEWAL), "granted", "as was granted"),
        (granted(1.0), "ended", "sign in again"),
    ],
)
async def test_each_server_says_whether_somebody_signed_in(
    tmp_path: Path, value: Any, state: str, says: str
) -> None:
    async with listening(McpServer(tools=[ECHO])) as mcp, calling(tmp_path, folder_of(mcp)) as api:
        if value is not None:
            await keep(api.house, value if isinstance(value, str) else value.kept())
        [listed] = (await api.owner.get("/v1/servers")).json()["items"]
        answer = await api.owner.get("/v1/servers/tracker")
        consent = answer.json()["consent"]
        assert listed["consent"] == consent
        assert (consent["state"], consent["issuer"]) == (state, "https://auth.example")
        assert says in consent["because"]
        if isinstance(value, Granted):
            assert (consent["by"], consent["at"]) == ("local:ann", "2026-11-18T11:06:40.000000Z")
            assert consent["renews"] == (value.refresh_token is not None)
            assert consent["scopes"] == ["read", "offline_access"]
        assert TOKEN not in answer.text
        assert RENEWAL not in answer.text


async def test_a_server_that_lets_everybody_in_has_none(tmp_path: Path) -> None:
    async with listening(McpServer(tools=[ECHO])) as mcp:
        folder = fleet_of(("tracker", mcp))
        async with calling(tmp_path, folder) as api:
            assert (await api.owner.get("/v1/servers/tracker")).json()["consent"] is None
            refused = await api.owner.delete("/v1/servers/tracker/sign-in")
            assert refused.status_code == 400
            assert "nobody signs in" in error_of(refused)["message"]


async def test_what_an_issuer_does_not_renew_is_said_to_be_refused(tmp_path: Path) -> None:
    async with (
        listening(McpServer(tools=[ECHO])) as mcp,
        listening(McpServer(first=lambda _: http(400, b'{"error": "invalid_grant"}'))) as issuer,
        calling(tmp_path, folder_of(mcp, issuer.url)) as api,
    ):
        await keep(api.house, granted(1.0, renewal=RENEWAL, at=issuer.url).kept())
        await look(api.house)
        consent = (await api.owner.get("/v1/servers/tracker")).json()["consent"]
        assert consent["state"] == "refused"
        assert "gave no token (400)" in consent["because"]
        await api.owner.delete("/v1/servers/tracker/sign-in")
        consent = (await api.owner.get("/v1/servers/tracker")).json()["consent"]
        assert consent["state"] == "nobody"


async def test_withdrawing_forgets_the_token_at_once_and_the_ledger_says_who(
    tmp_path: Path,
) -> None:
    async with listening(McpServer(tools=[ECHO])) as mcp, calling(tmp_path, folder_of(mcp)) as api:
        await keep(api.house, granted(4e9).kept())
        await look(api.house)
        assert f"Bearer {TOKEN}" in str([asked.headers for asked in mcp.asked])
        asked_before = len(mcp.asked)
        done = await api.owner.delete("/v1/servers/tracker/sign-in")
        assert done.status_code == 204
        await look(api.house)
        assert len(mcp.asked) == asked_before, "no token, no request"
        [server] = (await api.owner.get("/v1/servers")).json()["items"]
        assert server["consent"]["state"] == "nobody"
        again = await api.owner.delete("/v1/servers/tracker/sign-in")
        assert again.status_code == 409
        assert "nobody has signed in" in error_of(again)["message"]
        proof = (await api.owner.get("/v1/ledger/proof", params={"subject": "TRACKER"})).text
        assert "secret_removed" in proof
        assert api.house.local_user in proof


async def test_the_console_shows_sign_ins_without_a_token_and_withdraws_one(tmp_path: Path) -> None:
    async with listening(McpServer(tools=[ECHO])) as mcp, stage(tmp_path) as on:
        await on.sign_in()
        assert "Sign-ins at servers" not in text_of(await on.read("/console/tools"))
        await on.house.services.changes.apply(OWNER, fleet_of(("tracker", mcp)))
        assert "None of these servers asks anybody" in text_of(await on.read("/console/tools"))
        await on.house.services.changes.apply(OWNER, folder_of(mcp))
        page = await on.read("/console/servers/tracker")
        assert "quarterdeck servers sign-in tracker" in page
        assert "Withdraw" not in page
        await keep(on.house, granted(4e9, renewal=RENEWAL).kept())
        listed = await on.read("/console/tools")
        page = await on.read("/console/servers/tracker")
        for shown in (listed, page):
            assert "local:ann" in shown
            assert "renewed by itself" in shown
            assert not re.search(f"{TOKEN}|{RENEWAL}", shown)
        path, form = "/console/servers/tracker/sign-out", hidden(page, "form_token")
        assert (await on.post(path, form_token="x" * 20)).status_code == 403
        assert (await on.post(path, form_token=form)).status_code == 303
        assert "nobody yet" in text_of(await on.read("/console/servers/tracker"))
        late = await on.post(path, form_token=form)
        assert late.status_code == 409
        assert "there is nothing to withdraw" in text_of(late.text).lower()
