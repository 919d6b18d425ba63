"""An agent's card: one short paragraph, and a warning where it is not short."""

from dataclasses import replace

from quarterdeck.domain.cards import card_of
from quarterdeck.domain.limits import CARD_WORDS_MAX
from quarterdeck.domain.servers import ServerGrant
from quarterdeck.domain.tools import Moves
from quarterdeck.fleet.load import load
from tests.fleets import files

SMALL = load(files())
CLERK = SMALL.agents["clerk"]  # type: ignore[index]  # a literal name


def test_a_card_says_what_an_agent_can_what_it_cannot_and_how_to_correct_it() -> None:
    assert card_of(CLERK, SMALL).text == (
        "clerk (L2: makes low-risk writes within its bounds) may ask small-1 and other-1;"
        " use look_up and escalate; write with file_note, pay and wipe."
        " Each call of wipe asks a person first."
        " In one hour it can write at most 41666 records and delete at most 1000 records."
        " It spends at most 50.00 USD a day."
        " It can do nothing else: every other tool, model, resource and prompt is denied."
        " To correct it, ask ann, or change agents/clerk.yaml and apply;"
        " until then its runs go on as they were."
    )
    assert card_of(CLERK, SMALL).warning is None


def test_an_agent_that_suggests_takes_nothing() -> None:
    text = card_of(replace(CLERK, autonomy="L1"), SMALL).text
    assert "suggest file_note, pay and wipe" in text
    assert "In one hour it can do none of this by itself." in text
    assert "asks a person" not in text


def test_what_nothing_bounds_is_any_number() -> None:
    pay = SMALL.tools["pay"]  # type: ignore[index]  # a literal name
    free = replace(pay, cost_nanousd=0, moves=(Moves(currency="EUR", most="5", argument=None),))
    text = card_of(CLERK, replace(SMALL, tools={**SMALL.tools, free.name: free})).text
    assert "In one hour it can move any number of EUR, write any number of records" in text


def test_resources_are_on_the_card() -> None:
    grants = {"shop": ServerGrant(server="shop", resources=("shop://{id}",))}  # type: ignore[arg-type]
    assert "read resources of shop" in card_of(replace(CLERK, servers=grants), SMALL).text


def test_a_card_nobody_would_read_is_a_warning_and_not_cut() -> None:
    look_up = SMALL.tools["look_up"]  # type: ignore[index]  # a literal name
    many = {f"tool_{n}": replace(look_up, name=f"tool_{n}") for n in range(CARD_WORDS_MAX)}  # type: ignore[arg-type]
    agent = replace(CLERK, tools=tuple(many))  # type: ignore[arg-type]  # plain names
    card = card_of(agent, replace(SMALL, tools=many))  # type: ignore[arg-type]  # plain names
    assert f"tool_{CARD_WORDS_MAX - 1}" in card.text
    assert card.warning is not None
    assert f"more than the {CARD_WORDS_MAX}" in card.warning
