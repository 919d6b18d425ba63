"""People come with MCP clients of their own: tokens of the fleet's issuer, and nothing else."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.ids import RunId
from quarterdeck.domain.limits import (
    DOCUMENT_BYTES_MAX,
    JWKS_KEPT_SECONDS,
    JWKS_REFETCH_SECONDS,
    JWKS_STALE_SECONDS,
    JWT_BYTES_MAX,
)
from quarterdeck.domain.runs import RunFilters, RunOutcome
from quarterdeck.gateways.mcp.issuers import Issuers
from quarterdeck.gateways.mcp.oauth import metadata_url
from quarterdeck.gateways.mcp.tokens import NotGood, opened
from quarterdeck.upstream.destinations import open_public_session
from quarterdeck.upstream.sessions import open_session
from tests.doubles import SteppingClock
from tests.node.provider import DESKTOP, Key, provider
from tests.serving import OWNER, Running, running
from tests.upstream.http_api import (
    Api,
    Asked,
    answer,
    api,
    fleet_of,
    operation,
    text_argument,
)

AUDIENCE = "https://quarterdeck.example.com/mcp"
METADATA = "https://quarterdeck.example.com/.well-known/oauth-protected-resource/mcp"
GET = operation("get_order", "GET", "/orders/{order}", arguments=text_argument("order"))
MODERN = "2026-07-28"


def fleet(issuer: str, shop: str, **sign_in: Any) -> dict[str, bytes]:
    """The small fleet, in which Ann and Bob may come with clients of their own."""
    found = fleet_of(shop, GET)
    entry = yaml.safe_load(found["fleet.yaml"])
    entry["people"]["bob"] = {"name": "Bob", "role": "viewer"}
    entry["sign_in"] = {
        "issuer": issuer,
        "audience": AUDIENCE,
        "agent": "clerk",
        "scopes": ["tools"],
        **sign_in,
    }
    return found | {"fleet.yaml": yaml.safe_dump(entry).encode()}


async def ask(
    server: Running, token: str | None, method: str = "tools/list", **params: Any
) -> httpx2.Response:
    """One request of the stateless era."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
    }
    headers |= {"mcp-name": params["name"]} if "name" in params else {}
    headers |= {"authorization": f"Bearer {token}"} if token is not None else {}
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.post(f"{server.url}/mcp", json=body, headers=headers)


async def call(server: Running, token: str, order: str = "1") -> httpx2.Response:
    """A call of the tool."""
    arguments = {"order": order}
    return await ask(server, token, "tools/call", name="get_order", arguments=arguments)


async def runs_of(server: Running) -> list[dict[str, Any]]:
    """All runs, newest first."""
    return await server.house.services.runs.list_page(OWNER, RunFilters())


class Login:
    """A small issuer on a real socket, with keys of its own."""

    def __init__(self) -> None:
        self.key = Key("first")
        self.api: Api | None = None
        self.changes: dict[str, Any] = {}
        self.keys: list[Any] | None = None

    @property
    def url(self) -> str:
        """Its identifier."""
        assert self.api is not None
        return self.api.url

    def __call__(self, asked: Asked) -> bytes:
        """Metadata and keys."""
        if asked.target == "/jwks":
            public = {
                n: v for n, v in self.key.jwk().items() if n in ("kty", "n", "e", "kid", "use")
            }
            return answer(200, {"keys": [public] if self.keys is None else self.keys})
        if asked.target == "/.well-known/openid-configuration":
            said = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
            return answer(200, said | self.changes)
        return answer(404)

    def token(self, head: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token by its key; a claim that is None is left out."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "sub": "ann",
            "aud": AUDIENCE,
            "scope": "tools",
            "client_id": "desktop",
            "iat": now,
            "exp": now + 300,
        }
        chosen = {n: v for n, v in (usual | claims).items() if v is not None}
        said = {"alg": "RS256", "typ": "at+jwt", "kid": self.key.kid, **(head or {})}
        return self.key.sign(chosen, {n: v for n, v in said.items() if v is not None})


@contextlib.asynccontextmanager
async def login() -> AsyncIterator[Login]:
    """The issuer, listening."""
    made = Login()
    async with api(made) as listening:
        made.api = listening
        yield made


# A real provider.


async def test_a_person_acts_through_the_agent_with_a_token_of_a_real_provider(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Goal: found by its 401, let in by its token, recorded as its own, and passed on to nobody."""
    data = tmp_path / "data"
    async with (
        api() as shop,
        provider(tmp_path, scopes=("tools",)) as issuer,
        running(data, fleet(issuer.url, shop.url)) as server,
    ):
        nobody = await ask(server, None)
        assert nobody.status_code == 401
        assert nobody.headers["www-authenticate"] == (
            f'Bearer resource_metadata="{METADATA}", scope="tools"'
        )
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            for path in ("", "/mcp"):
                said = await client.get(f"/.well-known/oauth-protected-resource{path}")
                assert said.json() == {
                    "resource": AUDIENCE,
                    "authorization_servers": [issuer.url],
                    "scopes_supported": ["tools"],
                    "bearer_methods_supported": ["header"],
                    "resource_name": "small",
                }
        token = await issuer.token_for("ann", audience=AUDIENCE, scope="tools")
        listed = await ask(server, token)
        assert listed.status_code == 200, listed.text
        assert "get_order" in [tool["name"] for tool in listed.json()["result"]["tools"]]
        called = await call(server, token)
        assert called.json()["result"]["isError"] is False, called.text
        [run] = await runs_of(server)
        assert (run["kind"], run["started_by"], run["agent"]) == (
            "person",
            "person:ann",
            "clerk",
        )
        [action] = await server.actions(run["id"])
        assert (action["target"], action["state"]) == ("get_order", "done")
        shown = await server.house.services.runs.show(OWNER, run["id"])
        assert shown["input"]["client"] == DESKTOP
        again = await issuer.token_for("ann", audience=AUDIENCE, scope="tools")
        assert (await call(server, again, "2")).status_code == 200
        assert len(await runs_of(server)) == 1, "a person's client has one run"
        [asked, _] = shop.asked
        assert token not in str(asked)
        assert "authorization" not in asked.headers
    out = "".join(capfd.readouterr())
    kept = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    for part in (token, token.rpartition(".")[2]):
        assert part not in out
        assert part.encode() not in kept


async def test_services_and_strangers_are_told_the_same(tmp_path: Path) -> None:
    """Not one of the fleet's people, or without the scope: 403, in the same words."""
    async with (
        api() as shop,
        provider(tmp_path, scopes=("tools", "other")) as issuer,
        running(tmp_path / "data", fleet(issuer.url, shop.url)) as server,
    ):
        tokens = [
            await issuer.service_token(audience=AUDIENCE, scope="tools"),
            await issuer.token_for("mallory", audience=AUDIENCE, scope="tools"),
            await issuer.token_for("ann", audience=AUDIENCE, scope="other"),
            await issuer.token_for("ann", audience=AUDIENCE),
        ]
        answers = [await ask(server, token) for token in tokens]
        assert {a.status_code for a in answers} == {403}
        assert len({a.text for a in answers}) == 1
        [challenge] = {a.headers["www-authenticate"] for a in answers}
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="tools"' in challenge
        assert f'resource_metadata="{METADATA}"' in challenge
        assert await runs_of(server) == []


async def test_opaque_tokens_and_those_of_another_audience_are_not_good(tmp_path: Path) -> None:
    async with (
        api() as shop,
        provider(tmp_path, form="opaque") as issuer,
        running(tmp_path / "data", fleet(issuer.url, shop.url)) as server,
    ):
        opaque = await issuer.token_for("ann", audience=AUDIENCE, scope="tools")
        elsewhere = issuer.sign("ann", audience="https://other.example.com", scope="tools")
        old = issuer.sign("ann", audience=AUDIENCE, scope="tools", age_seconds=3600)
        for token in (opaque, elsewhere, old):
            refused = await ask(server, token)
            assert refused.status_code == 401
            assert 'error="invalid_token"' in refused.headers["www-authenticate"]


async def test_a_provider_that_rotates_its_keys_is_asked_again(tmp_path: Path) -> None:
    clock = SteppingClock()
    async with open_session() as named, open_public_session() as public:
        issuers = Issuers(named=named, public=public, clock=clock)
        async with provider(tmp_path) as before:
            known = await issuers.keys(before.url)
            assert [key.kid for key in known.keys] == ["first"]
        port = int(before.url.rpartition(":")[2])
        async with provider(tmp_path, port=port, key=Key("second")) as after:
            assert await issuers.keys(after.url, after=known) is known, "not so soon"
            clock.push(JWKS_REFETCH_SECONDS + 1)
            newer = await issuers.keys(after.url, after=known)
            assert [key.kid for key in newer.keys] == ["second"]


# Tokens that are not good.


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(issuer: Login, head: dict[str, Any], sign: Any) -> str:
    claims = issuer.token().split(".")[1]
    said = f"{_base64(json.dumps(head).encode())}.{claims}"
    return f"{said}.{_base64(sign(said.encode()))}"


def _hostile(issuer: Login) -> dict[str, str]:
    now = int(time.time())
    good = issuer.token()
    head, claims, signature = good.split(".")
    other = json.dumps(json.loads(base64.urlsafe_b64decode(claims + "==")) | {"sub": "bob"})
    public = issuer.key.jwk()["n"].encode()
    stranger = Key(issuer.key.kid)
    usual = {"iss": issuer.url, "sub": "ann", "aud": AUDIENCE, "scope": "tools", "exp": now + 99}
    return {
        "nothing": "x",
        "three parts": "a.b.c",
        "expired": issuer.token(exp=now - 60),
        "without an end": issuer.token(exp=None),
        "an end that is no time": issuer.token(exp=str(now + 300)),
        "an end that is true": issuer.token(exp=True),
        "not yet": issuer.token(nbf=now + 120),
        "made in the future": issuer.token(iat=now + 120),
        "another audience": issuer.token(aud="https://other.example.com"),
        "a longer audience": issuer.token(aud=AUDIENCE + "/x"),
        "no audience": issuer.token(aud=None),
        "an audience that is no text": issuer.token(aud={"a": AUDIENCE}),
        "another issuer": issuer.token(iss="https://evil.example.com"),
        "no issuer": issuer.token(iss=None),
        "nobody": issuer.token(sub=None),
        "a list of people": issuer.token(sub=["ann"]),
        "an id token": issuer.token(head={"typ": "logout+jwt"}),
        "bound to a key": issuer.token(cnf={"jkt": "x"}),
        "critical": issuer.token(head={"crit": ["exp"]}),
        "unencoded": issuer.token(head={"b64": False}),
        "changed": f"{head}.{_base64(other.encode())}.{signature}",
        "cut": f"{head}.{claims}.",
        "by somebody else's key": stranger.sign(usual, {"alg": "RS256", "kid": stranger.kid}),
        "by an unknown key": Key("nobody").sign(usual, {"alg": "RS256", "kid": "nobody"}),
        "its own key": Key("mine").sign(
            usual, {"alg": "RS256", "kid": "mine", "jwk": Key("mine").jwk()}
        ),
        "none": _unsigned(issuer, {"alg": "none"}, lambda _: b""),
        "none in capitals": _unsigned(issuer, {"alg": "NONE", "kid": "first"}, lambda _: b""),
        "the public key as a secret": _unsigned(
            issuer,
            {"alg": "HS256", "kid": "first"},
            lambda said: hmac.digest(public, said, hashlib.sha256),
        ),
        "another algorithm": issuer.token(head={"alg": "ES256"}),
        "too long": issuer.token(padding="x" * JWT_BYTES_MAX),
        "claims that are no object": issuer.key.sign([], {"alg": "RS256"}),  # type: ignore[arg-type]  # on purpose
    }


async def test_a_token_is_good_only_if_everything_about_it_is(tmp_path: Path) -> None:
    async with (
        api() as shop,
        login() as issuer,
        running(tmp_path, fleet(issuer.url, shop.url)) as server,
    ):
        for name, token in _hostile(issuer).items():
            refused = await ask(server, token)
            assert refused.status_code == 401, name
            assert 'error="invalid_token"' in refused.headers["www-authenticate"], name
            assert "this token is not good here" in refused.text, name
        assert await runs_of(server) == []
        assert (await ask(server, issuer.token())).status_code == 200
        fetched = [a.target for a in issuer.api.asked if a.target == "/jwks"]  # type: ignore[union-attr]  # it listens
        assert len(fetched) == 1, "made-up keys are not looked for again and again"


@pytest.mark.parametrize(
    ("sign_in", "claims"),
    [
        ({}, {"aud": ["https://other.example.com", AUDIENCE]}),
        ({}, {"scope": None, "scp": ["tools", "more"]}),
        ({"scopes": []}, {"scope": None}),
        ({"person": "preferred_username"}, {"sub": "u-1", "preferred_username": "ann"}),
        ({}, {"client_id": None, "azp": "desktop"}),
    ],
)
async def test_tokens_are_read_as_issuers_write_them(
    tmp_path: Path, sign_in: dict[str, Any], claims: dict[str, Any]
) -> None:
    async with (
        api() as shop,
        login() as issuer,
        running(tmp_path, fleet(issuer.url, shop.url, **sign_in)) as server,
    ):
        for head in ({}, {"typ": "JWT"}, {"typ": None}, {"kid": None}):
            answered = await ask(server, issuer.token(head=head, **claims))
            assert answered.status_code == 200, answered.text


# Whose run it is.


async def test_each_person_and_client_has_a_run_of_its_own(tmp_path: Path) -> None:
    async with (
        api() as shop,
        login() as issuer,
        running(tmp_path, fleet(issuer.url, shop.url)) as server,
    ):
        seen = [("ann", "a"), ("ann", "b"), ("bob", "a"), ("ann", "a"), ("bob", "a" * 150)]
        for person, client in seen:
            token = issuer.token(sub=person, client_id=client)
            assert (await call(server, token)).status_code == 200
        runs = await runs_of(server)
        assert sorted(run["started_by"] for run in runs) == ["person:ann"] * 2 + ["person:bob"] * 2


async def test_many_requests_at_once_open_one_run(tmp_path: Path) -> None:
    async with (
        api() as shop,
        login() as issuer,
        running(tmp_path, fleet(issuer.url, shop.url)) as server,
    ):
        answers = await asyncio.gather(*(ask(server, issuer.token()) for _ in range(8)))
        assert {a.status_code for a in answers} == {200}
        assert len(await runs_of(server)) == 1


async def test_a_run_that_was_ended_or_of_another_revision_is_not_gone_on_with(
    tmp_path: Path,
) -> None:
    async with api() as shop, login() as issuer:
        files = fleet(issuer.url, shop.url)
        async with running(tmp_path, files) as server:
            services = server.house.services
            assert (await call(server, issuer.token())).status_code == 200
            [first] = await runs_of(server)
            outcome = RunOutcome(state="cancelled", because="enough")
            await services.runs.end(OWNER, RunId(first["id"]), outcome)
            assert (await call(server, issuer.token())).status_code == 200
            changed = files["agents/clerk.yaml"].replace(b"- get_order\n", b"")
            await services.changes.apply(OWNER, files | {"agents/clerk.yaml": changed})
            refused = await call(server, issuer.token())
            assert "Unknown tool" in refused.text, "what was taken from the agent is gone"
            assert len(await runs_of(server)) == 3


async def test_a_run_is_gone_on_with_after_a_pause(tmp_path: Path) -> None:
    """Its credential has lapsed for want of use; the person has shown who they are again."""
    async with (
        api() as shop,
        login() as issuer,
        running(tmp_path, fleet(issuer.url, shop.url)) as server,
    ):
        assert (await call(server, issuer.token())).status_code == 200
        lapse = "update runs set credential_until = 1"
        await server.house.db.write(lambda tx: tx.execute(lapse, {}))
        assert (await call(server, issuer.token(), "2")).status_code == 200
        assert len(await runs_of(server)) == 1
        over = "update runs set credential_until = 1, deadline = 1"
        await server.house.db.write(lambda tx: tx.execute(over, {}))
        assert (await call(server, issuer.token(), "3")).status_code == 200
        assert len(await runs_of(server)) == 2


async def test_a_fleet_without_an_issuer_knows_no_people(tmp_path: Path) -> None:
    async with (
        api() as shop,
        login() as issuer,
        running(tmp_path, fleet_of(shop.url, GET)) as server,
    ):
        refused = await ask(server, issuer.token())
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Bearer realm="quarterdeck"'
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            said = await client.get("/.well-known/oauth-protected-resource")
        assert said.status_code == 404
        run = await server.start_run()
        assert (await ask(server, run.credential)).status_code == 200


async def test_agents_come_in_beside_people(tmp_path: Path) -> None:
    async with (
        api() as shop,
        login() as issuer,
        running(tmp_path, fleet(issuer.url, shop.url)) as server,
    ):
        run = await server.start_run()
        assert (await ask(server, run.credential)).status_code == 200
        assert issuer.api is not None
        assert issuer.api.asked == [], "a run's credential asks nobody"


# The issuer.


async def _keys(issuer: Login, clock: SteppingClock | None = None) -> Any:
    stepping = clock or SteppingClock()
    async with open_session() as named, open_public_session() as public:
        return await Issuers(named=named, public=public, clock=stepping).keys(issuer.url)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": 1},
        {"jwks_uri": "http://127.0.0.1:1/jwks"},
        {"jwks_uri": "https://127.0.0.1:1/jwks"},
        {"jwks_uri": "https://169.254.169.254/jwks"},
        {"jwks_uri": "https://[::ffff:10.0.0.1]/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://[bad/jwks"},
        {"padding": "x" * DOCUMENT_BYTES_MAX},
    ],
)
async def test_metadata_that_leads_elsewhere_is_not_followed(changes: dict[str, Any]) -> None:
    async with login() as issuer:
        issuer.changes = changes
        with pytest.raises(Unavailable):
            await _keys(issuer)


async def test_keys_that_cannot_verify_are_left_out() -> None:
    async with login() as issuer:
        good = issuer.key.jwk()
        issuer.keys = [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
            {**good, "kid": "for encryption", "use": "enc"},
            {"kty": "RSA", "kid": "half", "n": good["n"]},
            {"kty": "PQ", "kid": "strange"},
            "text",
            good,
        ]
        found = await _keys(issuer)
        assert [key.kid for key in found.keys] == ["first"]
        assert not any(key.is_private for key in found.keys)
        for useless in ([], [{"kty": "oct", "k": "c2VjcmV0"}]):
            issuer.keys = useless
            with pytest.raises(Unavailable):
                await _keys(issuer)


async def test_an_issuer_that_is_away_shuts_nobody_out_for_an_hour() -> None:
    clock = SteppingClock()
    async with (
        login() as issuer,
        open_session() as named,
        open_public_session() as public,
    ):
        issuers = Issuers(named=named, public=public, clock=clock)
        known = await issuers.keys(issuer.url)
        assert issuer.api is not None
        issuer.api.answers = lambda _: answer(503)
        clock.push(JWKS_KEPT_SECONDS + 1)
        assert await issuers.keys(issuer.url) is known
        asked = len(issuer.api.asked)
        assert await issuers.keys(issuer.url) is known
        assert len(issuer.api.asked) == asked, "it is left alone for a while"
        clock.push(JWKS_STALE_SECONDS)
        with pytest.raises(Unavailable):
            await issuers.keys(issuer.url)


async def test_an_issuer_that_was_never_there_is_asked_now_and_then() -> None:
    clock = SteppingClock()
    async with (
        login() as issuer,
        open_session() as named,
        open_public_session() as public,
    ):
        assert issuer.api is not None
        issuer.api.answers = lambda _: answer(503)
        issuers = Issuers(named=named, public=public, clock=clock)
        for _ in range(5):
            with pytest.raises(Unavailable):
                await issuers.keys(issuer.url)
        assert len(issuer.api.asked) <= 3, "one look, at each place where metadata may be"
        issuer.api.answers = issuer
        clock.push(JWKS_REFETCH_SECONDS + 1)
        assert (await issuers.keys(issuer.url)).keys


def test_a_token_that_is_not_ascii_is_none() -> None:
    for text in ("é.é.é", "\ud800.a.b", "", ".." * 10):
        with pytest.raises(NotGood):
            opened(text)


def test_metadata_is_where_the_standard_puts_it() -> None:
    assert metadata_url(AUDIENCE) == METADATA
    assert metadata_url("http://127.0.0.1:7700") == (
        "http://127.0.0.1:7700/.well-known/oauth-protected-resource"
    )
