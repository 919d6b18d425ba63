"""Who may call what: every route asks for a credential, and each kind of it is good for little."""

import re
from pathlib import Path

import pytest

from tests.api.calling import Calling, calling, error_of

OPEN = {"/v1/healthz"}


async def routes(api: Calling) -> list[tuple[str, str]]:
    """Every method and path of the API, with ids filled in."""
    paths = (await api.owner.get("/v1/openapi.json")).json()["paths"]
    return [
        (method.upper(), re.sub(r"\{\w+\}", "x", path))
        for path, methods in paths.items()
        for method in methods
    ]


async def test_every_route_but_the_liveness_one_wants_a_credential(tmp_path: Path) -> None:
    async with calling(tmp_path) as api, api.as_holder_of(None) as nobody:
        listed = await routes(api)
        assert len(listed) > 20
        for method, path in listed:
            answer = await nobody.request(method, path, json={})
            if path in OPEN:
                assert answer.status_code == 200
            else:
                assert answer.status_code == 401, f"{method} {path}"
                assert error_of(answer)["code"] == "unidentified"
                assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("token", ["", "wrong", "qdk_wrong", "qdr_wrong", "é", "x" * 10_000])
async def test_an_unknown_token_is_nobody(tmp_path: Path, token: str) -> None:
    async with calling(tmp_path) as api, api.as_holder_of(None) as nobody:
        shown = {b"authorization": f"Bearer {token}".encode("latin-1")}
        answer = await nobody.get("/v1/runs", headers=shown)
        assert answer.status_code == 401
        assert error_of(answer)["code"] == "unidentified"
        assert token == "" or token not in answer.text


async def test_the_local_token_is_the_owner_of_this_machine(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        started = (await api.owner.post("/v1/runs", json=EXTERNAL)).json()
        shown = (await api.owner.get(f"/v1/runs/{started['id']}")).json()
        assert shown["started_by"] == f"local:{api.house.local_user}"


EXTERNAL = {"agent": "clerk", "kind": "external"}


async def test_an_agent_key_starts_and_ends_runs_of_its_agent_and_reads_nothing(
    tmp_path: Path,
) -> None:
    async with calling(tmp_path) as api:
        key = (await api.owner.post("/v1/keys", json={"agent": "clerk"})).json()
        async with api.as_holder_of(key["secret"]) as agent:
            started = await agent.post("/v1/runs", json=EXTERNAL)
            assert started.status_code == 201
            run = started.json()["id"]
            for method, path in (
                ("GET", "/v1/runs"),
                ("GET", f"/v1/runs/{run}"),
                ("GET", "/v1/agents"),
                ("GET", "/v1/ledger/head"),
                ("GET", "/v1/ledger/export"),
                ("GET", "/v1/secrets"),
                ("DELETE", "/v1/secrets/x"),
                ("POST", f"/v1/keys/{key['id']}/revoke"),
            ):
                answer = await agent.request(method, path)
                assert answer.status_code == 403, path
                assert error_of(answer)["code"] == "forbidden"
            other = await agent.post("/v1/runs", json={"agent": "somebody", "kind": "external"})
            assert other.status_code == 403
            ended = await agent.post(f"/v1/runs/{run}/end", json={"state": "succeeded"})
            assert ended.status_code == 204


async def test_a_revoked_key_is_nobody(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        key = (await api.owner.post("/v1/keys", json={"agent": "clerk"})).json()
        assert (await api.owner.post(f"/v1/keys/{key['id']}/revoke")).status_code == 204
        async with api.as_holder_of(key["secret"]) as agent:
            assert (await agent.post("/v1/runs", json=EXTERNAL)).status_code == 401


async def test_a_run_credential_ends_its_own_run_and_does_nothing_else(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        mine, other = await api.external_run(), await api.external_run()
        async with api.as_holder_of(mine.credential) as run:
            its_own = {
                ("GET", "/v1/plans/x"): 404,
                ("POST", "/v1/plans/x/carry-out"): 404,
                ("POST", "/v1/actions"): 400,
                ("POST", "/v1/actions/x/receipt"): 400,
                ("POST", "/v1/plans"): 400,
            }
            for method, path in await routes(api):
                if path in OPEN or path.endswith("/end"):
                    continue
                answer = await run.request(method, path, json={})
                assert answer.status_code == its_own.get((method, path), 403), f"{method} {path}"
            foreign = await run.post(f"/v1/runs/{other.id}/end", json={"state": "succeeded"})
            assert foreign.status_code == 403
            assert mine.id in error_of(foreign)["hint"]
            ended = await run.post(f"/v1/runs/{mine.id}/end", json={"state": "succeeded"})
            assert ended.status_code == 204
            again = await run.post(f"/v1/runs/{mine.id}/end", json={"state": "failed"})
            assert again.status_code == 401, "the credential died with its run"
        shown = (await api.owner.get(f"/v1/runs/{other.id}")).json()
        assert shown["state"] == "running"
