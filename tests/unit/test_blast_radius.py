"""The most an agent could do in one hour, from contracts, rates and budgets alone."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.blast_radius import (
    BlastRadius,
    amounts,
    computed,
    excesses,
    judged,
    writes,
)
from quarterdeck.domain.fleets import Agent, Cap, Fleet
from quarterdeck.domain.radius import Radius
from quarterdeck.domain.servers import ServerGrant
from quarterdeck.domain.tools import Moves, Rate, Records, Tool
from quarterdeck.fleet.load import load
from tests.fleets import files

SMALL = load(files())
CLERK = SMALL.agents["clerk"]  # type: ignore[index]  # a literal name
USD = 10**9


def tool(name: str, **said: Any) -> Tool:
    """A tool of the small fleet with other bounds."""
    base = SMALL.tools["pay"]  # type: ignore[index]  # a literal name
    fields = {"records": Records(), "rates": (), "cost_nanousd": 0}
    return replace(base, name=name, **(fields | said))  # type: ignore[arg-type]


def agent(*tools: Tool, caps: tuple[Cap, ...] = (), **said: Any) -> tuple[Agent, Fleet]:
    """An agent with exactly these tools and caps, in a fleet without caps of its own."""
    caps = caps or (Cap(unit="nanousd", period="day", amount=50 * USD),)
    one = replace(CLERK, tools=tuple(t.name for t in tools), caps=caps, **said)
    fleet = replace(SMALL, tools={t.name: t for t in tools}, teams={}, caps=())
    return one, fleet


def radius(*tools: Tool, **said: Any) -> BlastRadius:
    return computed(*agent(*tools, **said))


WRITES = Records(written=1)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ({"rates": (Rate(calls=30, per="hour"),)}, 30),
        ({"rates": (Rate(calls=2, per="minute"),)}, 120),
        ({"rates": (Rate(calls=7, per="day"),)}, 7),
        ({"rates": (Rate(calls=2, per="minute"), Rate(calls=50, per="hour"))}, 50),
        ({"rates": (Rate(calls=2, per="minute"), Rate(calls=9, per="day"))}, 9),
        ({"cost_nanousd": USD}, 50),
        ({"cost_nanousd": 3 * USD}, 16),
        ({"cost_nanousd": 51 * USD}, 0),
        ({"cost_nanousd": USD, "rates": (Rate(calls=30, per="hour"),)}, 30),
        ({}, None),
    ],
)
def test_the_tightest_limit_decides(said: dict[str, Any], written: int | None) -> None:
    found = radius(tool("file", records=WRITES, **said)).figures["written"]
    assert found == (None if written is None else Decimal(written))


def test_a_budget_in_calls_is_shared_by_all_tools_and_the_worst_take_it() -> None:
    caps = (Cap(unit="calls", period="week", amount=10),)
    big = tool("big", records=Records(written=5), rates=(Rate(calls=3, per="hour"),))
    small = tool("small", records=WRITES)
    found = radius(big, small, caps=caps)
    assert found.figures["written"] == 3 * 5 + 7
    assert found.shared is not None
    assert found.shared.words == "the agent's budget of 10 calls per week"


def test_money_is_added_up_by_currency_and_exactly() -> None:
    rate = (Rate(calls=3, per="hour"),)
    refund = tool("refund", rates=rate, moves=(Moves(currency="USD", most="0.1", argument="n"),))
    wire = tool(
        "wire",
        rates=rate,
        moves=(
            Moves(currency="EUR", most="1000000000000.000000000001", argument=None),
            Moves(currency="USD", most="0.2", argument=None),
        ),
    )
    money = radius(refund, wire).money()
    assert money == {"USD": Decimal("0.9"), "EUR": Decimal("3000000000000.000000000003")}


def test_nothing_that_is_only_suggested_counts_and_a_person_who_is_asked_does() -> None:
    written = tool("file", records=WRITES, rates=(Rate(calls=5, per="hour"),), confirm=True)
    drafted = replace(written, name="draft", effect="draft")  # type: ignore[arg-type]
    for level, most in (("L0", 5), ("L1", 5), ("L2", 10), ("L4", 10)):
        found = radius(written, drafted, autonomy=level)
        assert found.figures["written"] == most, level
        assert [line.asks for line in found.lines] == [True, True]


def test_data_is_what_any_tool_can_read_and_resources_are_named() -> None:
    reading = tool("read", effect="read", data=frozenset(("pii",)))
    other = tool("look", effect="read", data=frozenset(("internal", "pii")))
    grants = {"shop": ServerGrant(server="shop", resources=("shop://{id}",))}  # type: ignore[arg-type]
    found = radius(reading, other, servers=grants)
    assert found.data == {"pii", "internal"}
    assert found.servers == ("shop",)
    assert not any(found.figures.values())


def test_what_makes_a_figure_unbounded_is_named() -> None:
    bounded = tool("a", records=WRITES, rates=(Rate(calls=1, per="hour"),))
    found = radius(bounded, tool("b", records=WRITES), tool("c", messages=2))
    assert found.figures["written"] is None
    assert [line.tool.name for line in found.unbounded_by("written")] == ["b"]
    assert [line.tool.name for line in found.unbounded_by("messages")] == ["c"]
    assert found.figures["deleted"] == 0


def test_limits_say_whose_they_are() -> None:
    fleet_caps = (Cap(unit="nanousd", period="month", amount=USD),)
    one, fleet = agent(tool("a", records=WRITES, cost_nanousd=USD // 10))
    [line] = computed(one, replace(fleet, caps=fleet_caps)).lines
    assert line.limit is not None
    assert line.limit.calls == 10
    assert line.limit.words == "the fleet's budget of 1.00 USD per month, at 0.10 USD a call"


def test_what_is_declared_is_compared_figure_by_figure() -> None:
    rate = (Rate(calls=10, per="hour"),)
    both = tool(
        "refund",
        records=WRITES,
        rates=rate,
        moves=(Moves(currency="USD", most="50", argument=None),),
    )
    found = radius(both)
    assert excesses(Radius(money={"USD": "500"}, written=10), found) == ()
    [money] = excesses(Radius(money={"USD": "499.99"}, written=10), found)
    assert (money.quantity, money.most, money.declared) == ("USD", 500, Decimal("499.99"))
    assert {e.quantity for e in excesses(Radius(), found)} == {"USD", "written"}
    assert {e.quantity for e in excesses(Radius(money={"EUR": "500"}), found)} == {"USD", "written"}


def test_unbounded_is_above_anything_declared() -> None:
    found = radius(tool("b", records=WRITES))
    [excess] = excesses(Radius(written=10**18), found)
    assert excess.most is None


@pytest.mark.parametrize(
    ("declared", "tools", "judgement"),
    [
        (None, [tool("r", effect="read")], "needless"),
        (None, [tool("w")], "undeclared"),
        (None, [tool("d", effect="draft", messages=1)], "undeclared"),
        (Radius(), [tool("w", cost_nanousd=51 * USD, records=WRITES)], "within"),
        (Radius(), [tool("w", cost_nanousd=USD, records=WRITES)], "above"),
        (Radius(), [tool("r", effect="read", data=frozenset(("pii",)))], "above"),
        (Radius(data=frozenset(("pii",))), [tool("r", data=frozenset(("pii",)))], "within"),
    ],
)
def test_what_apply_makes_of_it(declared: Radius | None, tools: list[Tool], judgement: str) -> None:
    one, fleet = agent(*tools, radius=declared)
    assert judged(one, computed(one, fleet)) == judgement


# --- whatever is tightened, no figure grows ------------------------------------------------------

counts = st.integers(min_value=0, max_value=50)
rates = st.lists(
    st.builds(
        lambda calls, per: Rate(calls=calls, per=per),
        st.integers(1, 100),
        st.sampled_from(["minute", "hour", "day"]),
    ),
    max_size=3,
).map(tuple)
tools_of = st.lists(
    st.fixed_dictionaries(
        {
            "records": st.builds(lambda w, d: Records(written=w, deleted=d), counts, counts),
            "messages": counts,
            "rates": rates,
            "cost_nanousd": st.integers(0, 3 * USD),
            "moves": st.lists(
                st.builds(
                    lambda currency, most: Moves(currency=currency, most=str(most), argument=None),
                    st.sampled_from(["USD", "EUR"]),
                    st.decimals(min_value=0, max_value=1000, places=2),
                ),
                max_size=2,
            ).map(tuple),
        }
    ),
    min_size=1,
    max_size=4,
)
caps_of = st.lists(
    st.builds(
        lambda unit, period, amount: Cap(unit=unit, period=period, amount=amount),
        st.sampled_from(["nanousd", "calls", "tokens"]),
        st.sampled_from(["day", "week", "month"]),
        st.integers(0, 10 * USD),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


def at_most(tighter: BlastRadius, looser: BlastRadius) -> bool:
    """Whether every figure is as large at the most."""
    return all(
        most is None
        or (tighter.figures.get(q, 0) is not None and tighter.figures.get(q, 0) <= most)  # type: ignore[operator]
        for q, most in looser.figures.items()
    )


def tightened(said: dict[str, Any], how: str) -> dict[str, Any]:
    match how:
        case "rate":
            return said | {"rates": (*said["rates"], Rate(calls=3, per="hour"))}
        case "most":
            lower = tuple(replace(m, most=str(Decimal(m.most) / 2)) for m in said["moves"])
            return said | {"moves": lower}
        case "cost":
            return said | {"cost_nanousd": said["cost_nanousd"] + 1}
        case _:
            return said | {"records": Records(), "messages": said["messages"] // 2}


@given(tools_of, caps_of, st.data())
def test_a_limit_more_never_raises_a_figure(
    said: list[dict[str, Any]], caps: tuple[Cap, ...], data: st.DataObject
) -> None:
    before = radius(*(tool(f"t{n}", **one) for n, one in enumerate(said)), caps=caps)
    index = data.draw(st.integers(0, len(said) - 1))
    how = data.draw(st.sampled_from(["rate", "most", "cost", "records", "cap", "grant"]))
    changed = list(said)
    if how == "cap":
        caps = (*caps, Cap(unit="calls", period="day", amount=5))
    elif how == "grant":
        changed.pop(index)
    else:
        changed[index] = tightened(changed[index], how)
    after = radius(*(tool(f"t{n}", **one) for n, one in enumerate(changed)), caps=caps)
    assert at_most(after, before), how


@given(tools_of, caps_of)
def test_a_figure_is_the_sum_of_what_its_tools_can_do(
    said: list[dict[str, Any]], caps: tuple[Cap, ...]
) -> None:
    """Never more than each tool alone at its own limit, and never less than any of them alone."""
    tools = [tool(f"t{n}", **one) for n, one in enumerate(said)]
    found = radius(*tools, caps=caps)
    for quantity, most in found.figures.items():
        alone = [
            Decimal(0) if not (amount := amounts(line.tool).get(quantity)) else
            None if line.limit is None else line.limit.calls * amount
            for line in found.lines
        ]  # fmt: skip
        if None in alone:
            assert most is None
            continue
        assert most is not None
        assert max(a for a in alone if a is not None) <= most <= sum(a or 0 for a in alone)


def test_a_tool_that_says_nothing_still_writes() -> None:
    assert writes(tool("w", effect="write"))
    assert not writes(tool("r", effect="read"))
