"""The OAuth provider of the tests is real: what it says is what its keys sign."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx2

from tests.node.provider import Issuer, Key, provider

AUDIENCE = "http://127.0.0.1:7700/mcp"


def claims(token: str, part: int = 1) -> dict[str, Any]:
    """A part of a token, read and not believed."""
    found = token.split(".")[part]
    return dict(json.loads(base64.urlsafe_b64decode(found + "=" * (-len(found) % 4))))


async def published(issuer: Issuer) -> list[dict[str, Any]]:
    """The keys it publishes, found as a resource server finds them."""
    async with httpx2.AsyncClient(base_url=issuer.url, trust_env=False) as client:
        for path in ("oauth-authorization-server", "openid-configuration"):
            described = (await client.get(f"/.well-known/{path}")).json()
            assert described["issuer"] == issuer.url
        return list((await client.get(described["jwks_uri"])).json()["keys"])


async def test_a_person_and_a_service_get_tokens_for_one_audience(tmp_path: Path) -> None:
    async with provider(tmp_path, scopes=("tools", "resources")) as issuer:
        person = claims(await issuer.token_for("alice", audience=AUDIENCE, scope="tools"))
        service = claims(await issuer.service_token(audience=AUDIENCE, scope="resources"))
    said = [(c["iss"], c["sub"], c["aud"], c["scope"]) for c in (person, service)]
    assert said == [
        (issuer.url, "alice", AUDIENCE, "tools"),
        (issuer.url, "service", AUDIENCE, "resources"),
    ]
    assert 0 < person["exp"] - person["iat"] <= 300


async def test_what_a_test_signs_is_like_what_the_provider_says(tmp_path: Path) -> None:
    async with provider(tmp_path) as issuer:
        real = await issuer.token_for("alice", audience=AUDIENCE, scope="tools")
        keys = await published(issuer)
    ours = issuer.sign("alice", audience=AUDIENCE, scope="tools", age_seconds=3600)
    assert claims(real, 0) == claims(ours, 0)
    assert claims(real).keys() == claims(ours).keys()
    assert [key["kid"] for key in keys] == [claims(ours, 0)["kid"]]
    assert "d" not in keys[0]


async def test_another_key_on_the_same_port_is_a_provider_that_rotated(tmp_path: Path) -> None:
    async with provider(tmp_path) as before:
        old = await published(before)
    port = int(before.url.rpartition(":")[2])
    async with provider(tmp_path, port=port, key=Key("second")) as after:
        new = await published(after)
    assert after.url == before.url
    assert ([k["kid"] for k in old], [k["kid"] for k in new]) == (["first"], ["second"])
