"""The description of the API says everything a program needs, and only what is so."""

import re
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.api.errors import STATUS
from tests.api.calling import calling

OPEN = "/v1/healthz"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture
async def described(tmp_path: Path) -> dict[str, Any]:
    """What the API publishes of itself."""
    async with calling(tmp_path) as api, api.as_holder_of(None) as nobody:
        found: dict[str, Any] = (await nobody.get("/v1/openapi.json")).json()
        return found


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
        if "requestBody" in operation:
            assert "415" in wrong, path
        if method != "get" and path != OPEN:
            assert "409" in wrong, path
        for code, response in wrong.items():
            content = response["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/FailureShown"}
            said = content["example"]["error"]
            assert str(STATUS[said["code"]]) == code
            assert said["message"], path


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
