"""At `check` and `apply`: an agent that may write declares how much, and can do no more."""

from collections.abc import Mapping

import pytest

from quarterdeck.fleet.load import FleetInvalid, Problem, load, load_to_apply
from tests.fleets import files

FOLDER = files()
AGENT = "agents/clerk.yaml"
NOTE = "tools/file_note.yaml"


def edited(*edits: tuple[str, str, str]) -> Mapping[str, bytes]:
    """The small fleet with replacements in its files."""
    found = dict(FOLDER)
    for path, old, new in edits:
        text = found[path].decode()
        assert old in text, old
        found[path] = text.replace(old, new).encode()
    return found


def problems(*edits: tuple[str, str, str]) -> tuple[Problem, ...]:
    """What `apply` finds wrong with it; loading finds nothing."""
    changed = edited(*edits)
    load(changed)
    with pytest.raises(FleetInvalid) as caught:
        load_to_apply(changed)
    return caught.value.problems


RADIUS = (AGENT, "radius: {written: 10000000, deleted: 1000}", "")
NO_COST = (NOTE, 'cost: "0.002"', 'cost: "0"')


def test_a_folder_that_declares_enough_is_in_order() -> None:
    assert load_to_apply(FOLDER) == load(FOLDER)


def test_a_write_without_a_declared_radius_is_refused_with_what_to_declare() -> None:
    [found] = problems(RADIUS)
    assert str(found) == (
        "agents/clerk.yaml:11: tools[1]: `file_note` writes, and the agent declares no radius;"
        " add `radius: {written: 41666, deleted: 1000}`"
    )


def test_what_the_hint_says_to_declare_is_then_in_order() -> None:
    [found] = problems(RADIUS)
    declared = found.hint.removeprefix("add `").removesuffix("`")
    load_to_apply(edited((AGENT, RADIUS[1], declared)))


def test_a_write_that_nothing_bounds_asks_for_a_rate_first() -> None:
    [found] = problems(RADIUS, NO_COST)
    assert found.hint == (
        "write `rates: [{calls: 30, per: hour}]` in tools/file_note.yaml, then declare the radius"
    )


def test_a_radius_above_the_declared_one_is_refused_with_the_rate_that_would_fit() -> None:
    [found] = problems((AGENT, "deleted: 1000", "deleted: 999"))
    assert (found.file, found.line, found.field) == (AGENT, 13, "radius.deleted")
    assert found.message == (
        "it can reach 1000 in one hour, above the 999 declared;"
        " `wipe` alone 1000, by its rate of 1000 calls per hour"
    )
    assert found.hint == "write `1000`, or `rates: [{calls: 999, per: hour}]` in tools/wipe.yaml"
    rate = ("tools/wipe.yaml", "calls: 1000", "calls: 999")
    load_to_apply(edited((AGENT, "deleted: 1000", "deleted: 999"), rate))


def test_an_unbounded_figure_is_refused_whatever_is_declared() -> None:
    [found] = problems(NO_COST)
    assert (found.file, found.field) == (AGENT, "radius.written")
    assert found.message == "nothing bounds the records written of `file_note` in one hour"
    assert found.hint == "write `rates: [{calls: 30, per: hour}]` in tools/file_note.yaml"


def test_a_budget_in_calls_bounds_it_too() -> None:
    budget = (AGENT, "budgets: [", "budgets: [{unit: calls, per: day, amount: 100}, ")
    load_to_apply(edited(NO_COST, budget))


def test_a_write_that_does_not_say_what_one_call_does_is_refused() -> None:
    found = problems((NOTE, "records: {written: 1}", ""))
    assert str(found[0]) == (
        "tools/file_note.yaml:7: effect: `file_note` writes, and does not say how much one call"
        " does; add `records: {written: 1}`, or what it deletes, moves or sends"
    )
    assert len(found) == 1


def test_a_tool_that_nobody_was_granted_needs_no_radius() -> None:
    load_to_apply(
        edited(
            (NOTE, "records: {written: 1}", ""),
            (AGENT, "tools: [look_up, file_note, pay, wipe, escalate]", "tools: [look_up]"),
            RADIUS,
        )
    )


def test_money_is_declared_by_currency() -> None:
    moves = 'records: {written: 1}\nmoves: [{currency: EUR, most: "2.50"}]'
    found = problems(("tools/pay.yaml", "records: {written: 1}", moves))
    assert [p.field for p in found] == ["radius.money.EUR"]
    assert found[0].line == 13
    assert found[0].hint == 'write `"41665.00"`, or lower rates in tools/pay.yaml'
    declared = (AGENT, "radius: {", 'radius: {money: {EUR: "41665"}, ')
    load_to_apply(edited(("tools/pay.yaml", "records: {written: 1}", moves), declared))


def test_data_that_is_not_declared_is_refused() -> None:
    [found] = problems(("tools/look_up.yaml", "timeout_seconds", "data: [pii]\ntimeout_seconds"))
    assert found.field == "radius.data"
    assert found.message == "it can read `pii`, which is not declared"


def test_an_agent_that_only_suggests_declares_nothing_and_says_so() -> None:
    level = (AGENT, "autonomy: L2", "autonomy: L1")
    [found] = problems(level, RADIUS)
    assert found.hint == "add `radius: {}`"
    load_to_apply(edited(level, (AGENT, RADIUS[1], "radius: {}")))


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("cost:", 'moves: [{currency: USD, most: "5", argument: n}]\ncost:', "moves[0].argument"),
        ("cost:", "moves: [{currency: usd, most: 5}]\ncost:", "moves[0].currency"),
        ("cost:", "moves: [{currency: USD, most: -5}]\ncost:", "moves[0].most"),
        ("cost:", "moves: [{currency: USD, most: 5, argument: gone}]\ncost:", "moves[0].argument"),
        ("cost:", "destinations: [{argument: text, allow: []}]\ncost:", "destinations[0].allow"),
        (
            "cost:",
            'destinations: [{argument: text, allow: ["*example.com"]}]\ncost:',
            "destinations[0].allow[0]",
        ),
        (
            "cost:",
            "rates: [{calls: 5, per: hour}, {calls: 6, per: hour}]\ncost:",
            "rates[1]",
        ),
        ("cost:", "rates: [{calls: 0, per: hour}]\ncost:", "rates[0].calls"),
        ("cost:", "rates: [{calls: 5, per: week}]\ncost:", "rates[0].per"),
    ],
)
def test_a_bound_that_cannot_hold_does_not_load(old: str, new: str, field: str) -> None:
    with pytest.raises(FleetInvalid) as caught:
        load(edited(("tools/look_up.yaml", old, new)))
    found = {problem.field for problem in caught.value.problems}
    assert field in found
    assert all(problem.hint for problem in caught.value.problems)
