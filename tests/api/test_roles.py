"""Who may call what: each route says it, every route is tried with every role, and with none."""

import base64
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from quarterdeck.api.app import build
from quarterdeck.api.callers import Identified
from quarterdeck.domain.ids import AgentName, TeamName
from quarterdeck.domain.people import Caller
from tests.api.acting import act
from tests.api.calling import Calling, calling, error_of
from tests.fleets import files

ROLES = ("owner", "on-call", "reviewer", "viewer", "agent")
OPEN = {"/v1/healthz"}
BODIES: dict[tuple[str, str], Any] = {
    ("post", "/v1/runs"): {"agent": "clerk", "kind": "external"},
    ("post", "/v1/runs/{run}/end"): {"state": "succeeded"},
    ("post", "/v1/keys"): {"agent": "clerk"},
    ("post", "/v1/approvals/{approval}"): {"answer": "deny", "digest": "0" * 64},
    ("post", "/v1/suggestions/{suggestion}/dismiss"): {"because": "x"},
    ("post", "/v1/tools/{name}/release"): {"hash": "sha256:" + "0" * 64},
    ("post", "/v1/backups"): {"file": "/nowhere/at/all/copy.db"},
    ("put", "/v1/secrets/{name}"): {"value": "x"},
    ("post", "/v1/secrets/{name}/rotate"): {"value": "x"},
    ("post", "/v1/servers/{name}/sign-in"): {"redirect_uri": "http://127.0.0.1:9/back"},
    ("post", "/v1/servers/{name}/sign-in/answer"): {"url": "http://127.0.0.1:9/back?code=x"},
    ("post", "/v1/fleet"): {
        "files": {path: base64.b64encode(text).decode() for path, text in files().items()}
    },
}
QUERIES = {"/v1/budgets": {"scope": "fleet"}, "/v1/ledger/proof": {"subject": "x"}}


def people(api: Calling) -> Any:
    """The API where a token is the role it names, `viewer@team` for one of a team."""

    async def identify(token: str) -> Identified:
        role, _, team = token.partition("@")
        agent = AgentName("clerk") if role == "agent" else None
        caller = Caller(
            id=f"{role}:x",
            role=role,  # type: ignore[arg-type]  # the tests know the roles
            agent=agent,
            team=TeamName(team) if team else None,
        )
        return Identified(caller=caller)

    links = api.house.sessions.one_time_link
    return build(api.house.services, api.house.driving, identify, make_link=links)


def client_of(app: Any, token: str | None) -> httpx2.AsyncClient:
    """Somebody's client."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


async def call(client: httpx2.AsyncClient, method: str, path: str) -> httpx2.Response:
    """A request that fits the route."""
    return await client.request(
        method,
        re.sub(r"\{\w+\}", "x", path),
        json=BODIES.get((method, path)),
        params=QUERIES.get(path),
        headers={"if-match": "*"} if (method, path) == ("post", "/v1/fleet") else {},
    )


def operations(app: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route there is."""
    paths = app.openapi()["paths"].items()
    found = [(m, path, operation) for path, methods in paths for m, operation in methods.items()]
    assert len(found) > 25
    return found


async def test_every_route_says_who_may_and_nobody_else_does(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        app = people(api)
        for method, path, operation in operations(app):
            if path in OPEN:
                continue
            may = operation["x-roles"]
            assert "owner" in may, path
            async with client_of(app, None) as nobody:
                assert (await call(nobody, method, path)).status_code == 401, path
            for role in ROLES:
                async with client_of(app, role) as client:
                    answer = await call(client, method, path)
                # An agent's key is good for its own runs only: `x` is nobody's.
                refused = answer.status_code == 403
                assert refused == (role not in may), f"{method} {path} as {role}: {answer.text}"


async def test_the_roles_are_in_the_reference(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/routes.md").read_text()
    async with calling(tmp_path) as api:
        listed = operations(people(api))
    for method, path, operation in listed:
        line = next(one for one in page.splitlines() if f"`{method.upper()} {path}`" in one)
        roles = operation.get("x-roles", ("none",))
        least = next(r for r in ("none", "viewer", "on-call", "owner") if r in roles)
        assert f"| {least}" in line, line


@pytest.mark.parametrize("role", ["owner", "viewer"])
async def test_somebody_of_another_team_sees_nothing(tmp_path: Path, role: str) -> None:
    async with calling(tmp_path) as api:
        run = await api.external_run()
        action = (await act(api.house, run.credential, "look_up"))["action"]
        key = (await api.owner.post("/v1/keys", json={"agent": "clerk"})).json()["id"]
        app = people(api)
        async with client_of(app, f"{role}@other") as other:
            for path in (
                f"/v1/runs/{run.id}",
                f"/v1/runs/{run.id}/actions",
                f"/v1/actions/{action}",
                "/v1/agents/clerk",
            ):
                answer = await other.get(path)
                assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found"), path
            for path in (
                "/v1/runs",
                "/v1/runs?team=desk",
                f"/v1/runs?q={run.id}",
                "/v1/actions",
                "/v1/actions?team=desk",
                f"/v1/actions?run={run.id}",
                "/v1/actions?agent=clerk",
                "/v1/agents",
                "/v1/keys",
                "/v1/costs",
                "/v1/budgets?scope=fleet",
                "/v1/budgets?scope=agent:clerk",
                "/v1/budgets?scope=team:desk",
            ):
                answer = await other.get(path)
                assert answer.json()["items"] == [], path
            whole = ("/v1/ledger/head", "/v1/ledger/export", "/v1/fleet", "/v1/secrets")
            for path in (*whole, f"/v1/ledger/proof?subject={run.id}", "/v1/health"):
                assert (await other.get(path)).status_code == 403, path
            assert (await other.post(f"/v1/keys/{key}/revoke")).status_code == 403
            for path, body in (
                ("/v1/runs", {"agent": "clerk"}),
                ("/v1/keys", {"agent": "clerk"}),
                (f"/v1/runs/{run.id}/end", {"state": "failed"}),
            ):
                expected = 404 if role == "owner" else 403
                assert (await other.post(path, json=body)).status_code == expected, path
        async with client_of(app, f"{role}@desk") as own:
            assert (await own.get(f"/v1/runs/{run.id}")).status_code == 200
            assert len((await own.get("/v1/actions")).json()["items"]) == 1
            assert len((await own.get("/v1/keys")).json()["items"]) == 1
            assert len((await own.get("/v1/agents")).json()["items"]) == 1
            assert (await own.get("/v1/budgets?scope=team:desk")).json()["items"] != []
