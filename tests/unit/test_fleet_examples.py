"""The example fleets load, and say what their documentation says of them."""

from pathlib import Path

import pytest

from quarterdeck.fleet.contracts import validator
from quarterdeck.fleet.load import load, read_folder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "fleets"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_example_fleet_loads_without_a_problem(name: str) -> None:
    assert load(read_folder(EXAMPLES / name)).name == name


def test_the_support_desk_routes_under_a_tight_contract_and_escalates() -> None:
    fleet = load(read_folder(EXAMPLES / "support-desk"))
    (agent,) = fleet.agents.values()
    assert (agent.name, agent.team, agent.autonomy) == ("triage", "support", "L2")
    assert agent.tools == ("route_ticket", "escalate")
    (model,) = agent.models
    price = fleet.vendors[model.vendor].prices[model.model]
    assert (price.input, price.output) == (150_000_000, 600_000_000)
    assert fleet.vendors[model.vendor].secret is None
    tool = fleet.tools[agent.tools[0]]
    assert tool.effect == "write"
    contract = validator(tool.arguments)
    good = {"ticket": "T-1", "queue": "Refund_not_showing_up?", "confidence": 0.98}
    assert contract.is_valid(good)
    for bad in (
        {**good, "queue": "no such; queue"},
        {**good, "confidence": 1.5},
        {**good, "ticket": ""},
        {**good, "note": "also"},
        {"ticket": "T-1"},
    ):
        assert not contract.is_valid(bad)


def test_the_address_of_the_stand_in_stands_on_a_line_of_its_own() -> None:
    text = (EXAMPLES / "support-desk" / "fleet.yaml").read_text()
    assert [line for line in text.splitlines() if line.strip().startswith("base_url:")] == [
        "    base_url: http://127.0.0.1:8099/v1"
    ]
