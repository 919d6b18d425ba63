"""The MCP SDK's own OAuth client finds the issuer, signs a person in and calls a tool."""

from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from tests.node.provider import CALLBACK, DESKTOP, Issuer, provider
from tests.serving import OWNER, running
from tests.upstream.http_api import api
from tests.wire.test_people_sign_in import fleet, runs_of


class Kept:
    """What the client keeps: it is registered at the issuer already."""

    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return OAuthClientInformationFull(
            client_id=DESKTOP, redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
        )

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("it is registered")


class Browser:
    """Somebody who signs in where the client sends them."""

    def __init__(self, issuer: Issuer, person: str) -> None:
        self.issuer = issuer
        self.person = person
        self.url = ""

    async def open(self, url: str) -> None:
        self.url = url

    async def come_back(self) -> AuthorizationCodeResult:
        asked = dict(parse_qsl(urlsplit(self.url).query)) | {"login_hint": self.person}
        async with httpx2.AsyncClient(base_url=self.issuer.url, trust_env=False) as client:
            code = await self.issuer._code(client, asked)
        return AuthorizationCodeResult(code=code, state=asked["state"], iss=self.issuer.url)


async def test_the_sdks_client_signs_a_person_in_by_itself(tmp_path: Path) -> None:
    async with api() as shop, provider(tmp_path, scopes=("tools",)) as issuer:
        files = fleet(issuer.url, shop.url)
        async with running(tmp_path / "data", files) as server:
            files = fleet(issuer.url, shop.url, audience=f"{server.url}/mcp")
            await server.house.services.changes.apply(OWNER, files)
            browser, kept = Browser(issuer, "ann"), Kept()
            signing = OAuthClientProvider(
                server_url=f"{server.url}/mcp",
                client_metadata=OAuthClientMetadata(
                    redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
                ),
                storage=kept,
                redirect_handler=browser.open,
                callback_handler=browser.come_back,
            )
            async with httpx2.AsyncClient(auth=signing, trust_env=False, timeout=30) as http:
                transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
                async with Client(transport) as client:
                    listed = await client.list_tools()
                    assert "get_order" in [tool.name for tool in listed.tools]
                    result = await client.call_tool("get_order", {"order": "7"})
                    assert result.structured_content == {"ok": True}
            asked = parse_qs(urlsplit(browser.url).query)
            assert asked["resource"] == [f"{server.url}/mcp"]
            assert "tools" in asked["scope"][0].split()
            assert kept.tokens is not None
            [run] = await runs_of(server)
            assert run["started_by"] == "person:ann"
            assert [action["state"] for action in await server.actions(run["id"])] == ["done"]
            assert kept.tokens.access_token not in str(shop.asked)
