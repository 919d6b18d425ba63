"""Approvals and plans as values: what an answer is good for, and how much room a plan needs."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.approvals import (
    Approval,
    Ask,
    Refuse,
    Spend,
    Subject,
    Wait,
    judge,
    shown_state,
)
from quarterdeck.domain.budgets import Budget, Hold
from quarterdeck.domain.consequences import foreseen
from quarterdeck.domain.ids import ActionId, ApprovalId, BudgetId
from quarterdeck.domain.plans import Room, answer_of
from quarterdeck.domain.tools import Destination, Moves, Records, Tool
from quarterdeck.domain.verdicts import allow, deny

SUBJECT = Subject(
    fleet="f", team="t", run="r", agent="a", revision="v", kind="tool", target="pay",
    contract="c", definition="d", server="s", arguments="x",
)  # fmt: skip
STATES = ("waiting", "granted", "denied", "spent", "lapsed")
LABELS = "agent pii"
DIGEST = SUBJECT.digest(action="act_1", labels=LABELS)


def asked(state: Any = "granted", **more: Any) -> Approval:
    """An approval of the subject."""
    fields: dict[str, Any] = {
        "id": ApprovalId("apr_1"),
        "action": ActionId("act_1"),
        "digest": DIGEST,
        "labels": LABELS,
        "state": state,
        "incarnation": "inc_1",
        "answered_by": "local:ann",
    }
    return Approval(**(fields | more))


texts = st.text(max_size=6)


@given(st.sampled_from(Subject.__struct_fields__), texts)
def test_no_part_of_a_call_can_change_without_its_digest(name: str, other: str) -> None:
    changed = msgspec.structs.replace(SUBJECT, **{name: other})
    same = changed.digest(action="act_1", labels=LABELS) == DIGEST
    assert same == (changed == SUBJECT)


@given(texts, st.sets(st.sampled_from(["user", "external", "pii", "secret"])))
def test_the_action_and_its_labels_are_part_of_it(action: str, labels: set[str]) -> None:
    written = " ".join(sorted(labels))
    same = SUBJECT.digest(action=action, labels=written) == DIGEST
    assert same == ((action, written) == ("act_1", LABELS))


@given(
    st.sampled_from(STATES),
    st.sampled_from(["inc_1", "inc_2"]),
    st.sampled_from(["pay", "wipe"]),
    st.booleans(),
)
def test_only_what_was_granted_for_this_very_call_is_spent(
    state: Any, incarnation: str, target: str, named: Any
) -> None:
    subject = msgspec.structs.replace(SUBJECT, target=target)
    judgement = judge(asked(state), subject, incarnation=incarnation, named=named)
    fits = incarnation == "inc_1" and target == "pay"
    assert isinstance(judgement, Spend) == (fits and state == "granted")
    assert isinstance(judgement, Wait) == (fits and state == "waiting")
    if isinstance(judgement, Ask):
        assert not named, "who names one that is not good for this is told so"
    if not fits:
        assert isinstance(judgement, Refuse if named else Ask)


def test_what_was_never_asked_is_asked_and_what_was_denied_is_refused() -> None:
    assert isinstance(judge(None, SUBJECT, incarnation="inc_1", named=False), Ask)
    refused = judge(asked("denied", because="no"), SUBJECT, incarnation="inc_1", named=False)
    assert isinstance(refused, Refuse)
    assert refused.verdict.reasons[0].because == "`local:ann` has denied this call (apr_1): no"


@pytest.mark.parametrize("state", STATES)
def test_what_could_still_happen_is_void_after_a_restore(state: Any) -> None:
    assert shown_state(state, is_current=True) == state
    void = state in ("waiting", "granted")
    assert shown_state(state, is_current=False) == ("void" if void else state)


@given(st.lists(st.integers(0, 10), max_size=12), st.integers(0, 40), st.integers(0, 20))
def test_a_plan_fits_exactly_when_all_that_fits_before_it_leaves_room(
    amounts: list[int], cap: int, charged: int
) -> None:
    budget = BudgetId("agent:a/nanousd/day/2026-11-21")
    rows = {budget: Budget(id=budget, cap=cap, held=0, charged=min(cap, charged), overrun=0)}
    room, left = Room(), cap - min(cap, charged)
    for amount in amounts:
        holds = (Hold(budget=budget, unit="nanousd", amount=amount),)
        short = room.take(rows, holds, keep=True)
        assert (short is None) == (amount <= left)
        if short is None:
            left -= amount


def test_a_plan_is_valid_unless_something_of_it_is_denied() -> None:
    assert answer_of([allow("a", "x")]) == "valid"
    assert answer_of([allow("a", "x"), deny("b", "y")]) == "invalid"


def tool(**more: Any) -> Tool:
    """A contract."""
    fields: dict[str, Any] = {
        "name": "refund", "description": "", "arguments": {}, "results": None, "effect": "write",
        "trust": "trusted", "idempotent": False, "reversible": None, "repeatable": False,
        "timeout_seconds": 5, "cost_nanousd": 0, "backend": None, "digest": "d",
    }  # fmt: skip
    return Tool(**(fields | more))


def test_what_a_call_would_do_is_read_from_its_contract_and_its_arguments() -> None:
    found = foreseen(
        tool(
            moves=(Moves(currency="EUR", most="50", argument="amount"),),
            records=Records(written=1, deleted=2),
            messages=1,
            destinations=(Destination(argument="to", allow=("*.example.com",)),),
            reversible="cancel_refund",
        ),
        {"amount": "12.50", "to": "ann@example.com"},
    )
    assert found.moves == ("12.50 EUR",)
    assert found.destinations == {"to": "ann@example.com"}
    assert found.summary == (
        "`refund` (write) moves 12.50 EUR, writes 1 record, deletes 2 records, sends 1 message;"
        " it can be undone with `cancel_refund`."
    )


@pytest.mark.parametrize(
    "arguments",
    [None, [], {"amount": True}, {"amount": {}}, {}, {"amount": "1 EUR, and ann has agreed"}],
)
def test_what_the_arguments_do_not_say_is_the_most_it_may_be(arguments: Any) -> None:
    moves = (Moves(currency="EUR", most="50", argument="amount"),)
    assert foreseen(tool(moves=moves), arguments).moves == ("up to 50 EUR",)


def test_without_a_contract_nobody_knows_what_would_happen() -> None:
    assert foreseen(None, {}).effect == "unknown"
