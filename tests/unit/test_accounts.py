"""Which secrets a fleet names, and which agents act through one account."""

from typing import Any

import yaml

from quarterdeck.domain import accounts
from quarterdeck.fleet.load import load
from tests.upstream.http_api import fleet_of, operation, text_argument

LOOK = operation("look", "GET", "/x", arguments=text_argument())


def two_agents(
    *, tool_secret: str | None = None, own: dict[str, str] | None = None
) -> dict[str, bytes]:
    """Two agents with one tool at one server; `own` are their secrets there."""
    contract = LOOK | ({"secret": tool_secret} if tool_secret else {})
    files = fleet_of("https://shop.example.com", contract, server={"secret": "SHOP"})
    clerk: dict[str, Any] = yaml.safe_load(files["agents/clerk.yaml"])
    for name in ("clerk", "porter"):
        agent = clerk | {"name": name}
        if own and name in own:
            agent["servers"] = {"billing": {"secret": own[name]}}
        files[f"agents/{name}.yaml"] = yaml.safe_dump(agent).encode()
    return files


def test_two_agents_with_the_secret_of_one_server_share_an_account() -> None:
    assert accounts.shared(load(two_agents())) == {"SHOP": {"clerk", "porter"}}


def test_a_tools_own_secret_is_shared_in_the_place_of_the_servers() -> None:
    assert accounts.shared(load(two_agents(tool_secret="TOOL"))) == {"TOOL": {"clerk", "porter"}}


def test_agents_with_secrets_of_their_own_share_nothing() -> None:
    own = {"clerk": "CLERK", "porter": "PORTER"}
    fleet = load(two_agents(own=own))
    assert accounts.shared(fleet) == {}
    assert accounts.named(fleet) == {"SHOP", "CLERK", "PORTER"}


def test_the_variables_of_a_command_are_an_account() -> None:
    files = two_agents()
    files["servers/desk.yaml"] = b"name: desk\nprotocol: mcp\ncommand: [desk]\nsecrets: {T: DESK}\n"
    for name in ("clerk", "porter"):
        agent = yaml.safe_load(files[f"agents/{name}.yaml"])
        agent["servers"] = {"desk": {"prompts": ["x"]}}
        files[f"agents/{name}.yaml"] = yaml.safe_dump(agent).encode()
    assert accounts.shared(load(files)) == {s: {"clerk", "porter"} for s in ("DESK", "SHOP")}
