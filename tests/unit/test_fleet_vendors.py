"""Vendor entries: how they are reached, who stands in for them, and what cannot be declared."""

import re
from pathlib import Path

import pytest

from quarterdeck.domain import limits
from quarterdeck.domain.fleets import AUTH_OF_DIALECT, Fallback, Fleet, Timeouts, Vendor
from quarterdeck.domain.ids import AgentName, VendorName
from quarterdeck.fleet.load import FleetInvalid, load
from tests.fleets import files

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "when-a-vendor-fails.md"
SECOND = """
  second:
    dialect: DIALECT
    base_url: https://elsewhere.example.com/v1
    prices: {small-1: {input: "0.15", output: "0.60"}, small-2: {input: "0.3", output: "1.2"}}
"""


def folder(
    *, vendor: str = "", model: str = "", second: str = "", dialect: str = "openai"
) -> dict[str, bytes]:
    """The small fleet, with something added to its vendor, its model's binding, its vendors."""
    found = dict(files())
    text = (
        found["fleet.yaml"]
        .decode()
        .replace("    dialect: openai\n", f"{vendor}    dialect: openai\n", 1)
    )
    text += SECOND.replace("DIALECT", dialect) + second
    found["fleet.yaml"] = text.encode()
    agent = found["agents/clerk.yaml"].decode()
    found["agents/clerk.yaml"] = agent.replace(
        "{vendor: local, model: small-1}", f"{{vendor: local, model: small-1{model}}}"
    ).encode()
    return found


def local(fleet: Fleet) -> Vendor:
    """The first entry."""
    return fleet.vendors[VendorName("local")]


def problems(found: dict[str, bytes]) -> str:
    """What is said to be wrong, all of it."""
    with pytest.raises(FleetInvalid) as error:
        load(found)
    return str(error.value) + error.value.hint


def test_an_entry_that_says_nothing_gets_the_defaults() -> None:
    vendor = local(load(folder()))
    assert vendor.timeouts == Timeouts(connect=10, first_byte=300, between_bytes=180, total=600)
    assert (vendor.retries, vendor.calls_max) == (
        limits.VENDOR_RETRIES_DEFAULT,
        limits.VENDOR_CALLS_DEFAULT,
    )
    assert vendor.auth == AUTH_OF_DIALECT["openai"] == "bearer"


def test_each_bound_can_be_said_for_one_entry() -> None:
    said = "    timeouts: {connect: 1, total: 9}\n    retries: 0\n"
    said += "    calls_max: 7\n    auth: api-key\n"
    vendor = local(load(folder(vendor=said)))
    assert vendor.timeouts == Timeouts(connect=1, first_byte=300, between_bytes=180, total=9)
    assert (vendor.retries, vendor.calls_max, vendor.auth) == (0, 7, "api-key")


@pytest.mark.parametrize(
    "wrong",
    [
        "timeouts: {connect: 0}",
        "timeouts: {total: 601}",
        "timeouts: {first_bite: 3}",
        "retries: 6",
        "retries: -1",
        "calls_max: 0",
        "auth: basic",
        "region: Frankfurt",
    ],
)
def test_what_is_out_of_bounds_does_not_load(wrong: str) -> None:
    assert "fleet.yaml" in problems(folder(vendor=f"    {wrong}\n"))


def test_a_signature_needs_a_region_and_nothing_else_has_one() -> None:
    unsaid = problems(folder(vendor="    auth: aws-sigv4\n    secret: AWS_KEY\n"))
    assert "region: eu-central-1" in unsaid
    assert "only signed requests have a region" in problems(
        folder(vendor="    region: eu-west-1\n")
    )
    said = "    auth: aws-sigv4\n    secret: AWS_KEY\n    region: eu-west-1\n"
    assert local(load(folder(vendor=said))).region == "eu-west-1"


def test_a_fallback_may_name_its_own_model_and_is_part_of_the_revision() -> None:
    without = load(folder()).agents[AgentName("clerk")]
    same = load(folder(model=", fallback: {vendor: second}")).agents[AgentName("clerk")]
    other = load(folder(model=", fallback: {vendor: second, model: small-2}"))
    named = other.agents[AgentName("clerk")]
    assert without.models[0].fallback is None
    assert same.models[0].fallback == Fallback(vendor=VendorName("second"), model="small-1")
    assert named.models[0].fallback == Fallback(vendor=VendorName("second"), model="small-2")
    assert len({without.revision, same.revision, named.revision}) == 3


def test_a_model_without_a_price_at_the_fallback_does_not_load() -> None:
    said = problems(folder(model=", fallback: {vendor: second, model: small-3}"))
    assert "the price of `small-3` is not known" in said


def test_a_fallback_that_could_not_stand_in_does_not_load() -> None:
    assert "no vendor named `third`" in problems(folder(model=", fallback: {vendor: third}"))
    assert "is the vendor it is to stand in for" in problems(
        folder(model=", fallback: {vendor: local}")
    )
    assert "name a vendor of the same dialect" in problems(
        folder(model=", fallback: {vendor: second}", dialect="anthropic")
    )


def test_a_fallback_that_may_do_less_does_not_load() -> None:
    from quarterdeck.domain.dialects import ALLOWANCES

    name = next(iter(ALLOWANCES))
    said = problems(folder(vendor=f"    allow: [{name}]\n", model=", fallback: {vendor: second}"))
    assert f"`second` does not allow `{name}`" in said


def test_the_example_of_the_page_loads() -> None:
    fleet, models = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    agent = (
        "name: clerk\nowner: mara\nteam: desk\npurpose: Answers.\nautonomy: L1\n"
        f"prompt: prompts/clerk.md\n{models}"
    )
    loaded = load(
        {
            "fleet.yaml": fleet.encode(),
            "agents/clerk.yaml": agent.encode(),
            "prompts/clerk.md": b"You are a clerk.",
        }
    )
    [model] = loaded.agents[AgentName("clerk")].models
    assert model.fallback == Fallback(vendor=VendorName("second"), model="m-eu-2026-05-01")
    assert loaded.vendors[VendorName("first")].timeouts.first_byte == 60
