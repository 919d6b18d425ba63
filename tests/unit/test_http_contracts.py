"""What a contract of an HTTP operation may not say, found when the folder is loaded."""

from typing import Any

import pytest

from quarterdeck.fleet.load import load
from quarterdeck.fleet.problems import FleetInvalid
from tests.upstream.http_api import fleet_of, operation, text_argument

URL = "https://shop.example.com"


def problems(contract: dict[str, Any], **server: Any) -> list[str]:
    """What is wrong with it, in words."""
    try:
        load(fleet_of(URL, contract, server=server))
    except FleetInvalid as error:
        return [f"{problem.message}; {problem.hint}" for problem in error.problems]
    return []


def look(**http: Any) -> dict[str, Any]:
    """A read with one argument."""
    contract = operation("look", "GET", "/x", arguments=text_argument("a"))
    return contract | {"http": contract["http"] | http}


@pytest.mark.parametrize("name", ["Host", "authorization", "Content-Length", "X-Original-URL"])
def test_no_argument_says_how_a_request_is_sent(name: str) -> None:
    [problem] = problems(look(headers={name: "a"}))
    assert f"`{name}` is no argument's to set" in problem


def test_no_argument_takes_the_place_of_the_secret() -> None:
    keyed = {"secret": "KEY", "auth": "X-Api-Key"}
    [problem] = problems(look(headers={"x-api-key": "a"}), **keyed)
    assert "where the secret goes" in problem
    assert problems(look(headers={"X-Note": "a"}), **keyed) == []


def test_the_argument_that_carries_the_key_is_sent() -> None:
    contract = look(query={"a": "a"})
    contract["arguments"] = text_argument("a", "key")
    contract |= {"idempotent": True, "idempotency_key": {"argument": "key"}}
    [problem] = problems(contract)
    assert "`key` is sent nowhere" in problem
    contract["http"]["query"]["key"] = "key"
    assert problems(contract) == []


def test_an_agent_may_have_a_secret_of_its_own_at_an_api_and_nothing_else() -> None:
    files = fleet_of(URL, look(query={"a": "a"}), own_secret="OWN")
    assert load(files).agents
    agent = files["agents/clerk.yaml"].replace(b"secret: OWN", b"prompts: [x]")
    with pytest.raises(FleetInvalid, match="no MCP server"):
        load(files | {"agents/clerk.yaml": agent})
