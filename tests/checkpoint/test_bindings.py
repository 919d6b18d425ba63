"""Bindings: a fleet is read once, and what two of them have in common is kept once."""

from quarterdeck.fleet.load import load
from tests.checkpoint.conftest import OWNER, Bench
from tests.fleets import files


async def test_what_two_fleets_have_in_common_is_kept_once(bench: Bench) -> None:
    bindings = bench.house.bindings
    before = await bindings.in_force()
    assert before is not None
    folder = {**files(), "prompts/clerk.md": b"You are another clerk."}
    folder["tools/pay.yaml"] = folder["tools/pay.yaml"].replace(b"of the tests", b"that pays")
    await bench.house.services.changes.apply(OWNER, folder)
    after = await bindings.in_force()
    assert after == load(folder)
    assert after is not None
    assert after.version != before.version
    assert {name for name in after.tools if after.tools[name] is not before.tools[name]} == {"pay"}
    assert (await bindings.agent_in_force("clerk")).agent.prompt == "You are another clerk."
    old = await bindings.of(before.agents[next(iter(before.agents))].revision)
    assert old.agent.prompt == "You are a clerk."


async def test_the_folder_that_is_in_force_is_not_read_from_the_database_again(
    bench: Bench,
) -> None:
    bindings = type(bench.house.bindings)(bench.house.db)
    folder = load(files())
    assert await bindings.in_force(folder) is folder
    assert await bindings.in_force() is folder
    other = load({**files(), "prompts/clerk.md": b"You are another clerk."})
    assert await bindings.in_force(other) is folder
