"""The description of the API says everything a program needs, and only what is so."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import pytest

from quarterdeck.api.errors import STATUS
from quarterdeck.assembly import House, application, house
from quarterdeck.settings import Settings
from tests.api.calling import calling

OPEN = "/v1/healthz"
FAILURE: Final = {"$ref": "#/components/schemas/FailureShown"}
EXAMPLE: Final = {"error": {"message": "no example is given"}}
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture
async def described(tmp_path: Path) -> dict[str, Any]:
    """What the API publishes of itself."""
    async with calling(tmp_path) as api, api.as_holder_of(None) as nobody:
        found: dict[str, Any] = (await nobody.get("/v1/openapi.json")).json()
        return found


def kinds_of(content: dict[str, Any]) -> list[dict[str, str]]:
    """The schemas that an answer may have."""
    found: list[dict[str, str]] = content["schema"].get("anyOf", [content["schema"]])
    return found


def has_the_one_shape(described: dict[str, Any], kind: dict[str, str]) -> bool:
    """Whether a schema has the error of the one shape in it, whatever stands beside it."""
    schemas = described["components"]["schemas"]
    schema = schemas[kind["$ref"].rpartition("/")[2]]
    error = schemas[schema["properties"]["error"]["$ref"].rpartition("/")[2]]
    return "error" in schema["required"] and set(error["required"]) == {"code", "message", "hint"}


def leaves(routes: Any) -> Iterator[Any]:
    """Every route of a router and of what it includes."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else leaves(inner.routes)


def served(built: House, role: str) -> set[tuple[str, str]]:
    """What a process of this role answers under `/v1`, from the routers themselves."""
    plane: Any = application(built, role=role)
    people = plane.other
    found = set(plane.endpoints)
    for route in leaves((*people.routes, *getattr(people.router.default, "routes", ()))):
        methods = getattr(route, "methods", None) or {"GET"}
        found |= {(m, route.path) for m in methods if m != "HEAD"}
    return {(method, path) for method, path in found if path.startswith("/v1/")}


def said(described: dict[str, Any]) -> set[tuple[str, str]]:
    """What the document says there is at its own server."""
    return {(m.upper(), path) for m, path, one in operations(described) if "servers" not in one}


@pytest.mark.parametrize("role", ["all", "console"])
async def test_what_is_served_is_described_and_nothing_else(tmp_path: Path, role: str) -> None:
    settings = Settings(folder=tmp_path, gateway_url="https://gateway.example")
    async with house(settings, role=role) as built:
        transport = httpx2.ASGITransport(app=cast(Any, application(built, role=role)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as nobody:
            document = (await nobody.get("/v1/openapi.json")).json()
        there = served(built, role)
        assert there - said(document) == {("GET", "/v1/openapi.json")}, "the document itself"
        assert said(document) <= there
        elsewhere = {
            (m.upper(), path)
            for m, path, one in operations(document)
            if one.get("servers", [{}])[0].get("url") == "https://gateway.example"
        }
        of_gateway = served(built, "gateway") - {("GET", "/v1/healthz")}
        assert elsewhere == (of_gateway if role == "console" else set())
        assert len(of_gateway) == 4


async def test_agents_routes_ask_for_a_runs_credential(described: dict[str, Any]) -> None:
    schemes = described["components"]["securitySchemes"]
    asked = {
        one["operationId"]: one["security"]
        for _, _, one in operations(described)
        if "security" in one
    }
    assert asked["admit_action"] == asked["judge_plan"] == [{"run": []}]
    assert asked["end_run"] == asked["show_plan"] == [{"token": []}, {"run": []}]
    assert asked["list_runs"] == [{"token": []}]
    assert {name for one in asked.values() for way in one for name in way} == set(schemes)


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route."""
    paths = described["paths"].items()
    return [(m, path, one) for path, methods in paths for m, one in methods.items()]


async def test_it_is_openapi_31_with_a_tag_and_a_name_for_every_route(
    described: dict[str, Any],
) -> None:
    assert described["openapi"] == "3.1.0"
    tags = {tag["name"]: tag["description"] for tag in described["tags"]}
    names = [one["operationId"] for _, _, one in operations(described)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names), names
    assert {tag for _, _, one in operations(described) for tag in one["tags"]} == set(tags)


async def test_every_route_says_what_can_go_wrong_in_the_one_shape(
    described: dict[str, Any],
) -> None:
    for method, path, operation in operations(described):
        wrong = {code: r for code, r in operation["responses"].items() if code >= "400"}
        assert {"400", "413", "500", "503"} <= set(wrong), path
        if path != OPEN:
            assert {"401", "403"} <= set(wrong), path
            assert operation["security"], path
            assert operation["x-roles"], path
        if "requestBody" in operation and operation["x-roles"] != ["run"]:
            assert "415" in wrong, path
        if method != "get" and path != OPEN:
            assert "409" in wrong, path
        for code, response in wrong.items():
            content = response["content"]["application/json"]
            assert all(has_the_one_shape(described, kind) for kind in kinds_of(content)), path
            said = content.get("example", EXAMPLE)["error"]
            assert said["message"], path
            if content["schema"] == FAILURE:
                assert str(STATUS[said["code"]]) == code


async def test_every_parameter_is_explained_and_in_the_reference(
    described: dict[str, Any],
) -> None:
    page = (REFERENCE / "api.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for method, path, operation in operations(described):
        [row] = [line for line in rows if f"`{method.upper()} {path}`" in line]
        for parameter in operation.get("parameters", ()):
            assert "anyOf" not in parameter["schema"], "there is no way to write a null"
            if parameter["in"] == "path":
                continue
            assert parameter["description"], f"{path}: {parameter['name']}"
            if parameter["in"] == "query" and parameter["name"] not in ("limit", "cursor"):
                assert f"{parameter['name']}=" in row, f"{path}: {parameter['name']}"
            if parameter["in"] == "header":
                assert f"`{parameter['name']}" in page, parameter["name"]


async def test_every_change_that_adds_something_takes_an_idempotency_key(
    described: dict[str, Any],
) -> None:
    without = {
        path
        for method, path, operation in operations(described)
        if method == "post"
        and "Idempotency-Key" not in {p["name"] for p in operation.get("parameters", ())}
    }
    # Agents name a key by call, in the body; a receipt is taken once, judging changes nothing.
    asked = {
        "/v1/actions",
        "/v1/actions/{action}/receipt",
        "/v1/plans",
        "/v1/plans/{plan}/carry-out",
    }
    # What a person decides happens once by itself: whoever comes second is told who did.
    decided = {
        "/v1/approvals/{approval}",
        "/v1/approvals/{approval}/reveal",
        "/v1/servers/{name}/sign-in/answer",
        "/v1/suggestions/{suggestion}/carry-out",
        "/v1/suggestions/{suggestion}/dismiss",
        "/v1/suggestions/{suggestion}/reveal",
        "/v1/tools/{name}/release",
    }
    assert without == {
        "/v1/backups",
        "/v1/ledger/verify",
        "/v1/servers/{name}/sign-in",
        "/v1/sign-in-links",
        *decided,
        *asked,
    }


async def test_a_link_leads_to_an_operation_that_takes_it(described: dict[str, Any]) -> None:
    by_name = {one["operationId"]: one for _, _, one in operations(described)}
    links = [
        link
        for one in by_name.values()
        for response in one["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) > 10
    for link in links:
        names = {p["name"] for p in by_name[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= names, link
