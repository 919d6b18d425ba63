"""What servers may ask of an agent's client, judged before anybody sees it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.questions import named, problem, secret_field

CAN = frozenset(("elicitation", "elicitation.form", "sampling", "roots"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


def form(**fields: object) -> dict[str, object]:
    """A form with these fields."""
    return {"message": "?", "requestedSchema": {"type": "object", "properties": fields}}


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "pass_phrase",
        "userPassword",
        "apiKey",
        "API-KEY",
        "access_token",
        "client_secret",
        "otp",
        "oneTimeCode",
        "cvv",
        "cardNumber",
        "ssn",
        "privateKey",
        "recovery_code",
        "pin",
        "mfaCode 2fa",
    ],
)
def test_a_field_that_looks_like_a_secret_is_found(name: str) -> None:
    assert secret_field(form(**{name: {"type": "string"}})["requestedSchema"]) == name
    titled = {"type": "string", "title": name}
    assert secret_field(form(field=titled)["requestedSchema"]) == "field"
    assert problem("elicitation/create", form(**{name: {"type": "string"}}), CAN) is not None


@pytest.mark.parametrize(
    "name",
    ["name", "email", "color", "passenger", "shipping", "keyboard", "spinner", "ok", "pinned"],
)
def test_an_everyday_field_is_none(name: str) -> None:
    assert problem("elicitation/create", form(**{name: {"type": "string"}}), CAN) is None


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {}),
        ("elicitation/create", [1]),
        ("elicitation/create", {"mode": "url", "url": "https://x"}),
        ("elicitation/create", {"mode": "telepathy"}),
        ("sampling/createMessage", {"messages": [], "tools": [{"name": "x"}]}),
    ],
)
def test_what_a_client_did_not_say_it_can_answer_is_not_asked(method: str, params: object) -> None:
    assert problem(method, params, CAN) is not None


@pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list"])
def test_a_client_that_can_answer_nothing_is_asked_nothing(method: str) -> None:
    assert problem(method, form(), CAN) is None
    assert problem(method, form(), frozenset()) is not None


@given(st.text(max_size=20), JSON)
def test_any_question_is_judged(method: str, params: object) -> None:
    for asked in (method, "elicitation/create", "sampling/createMessage", "roots/list"):
        found = problem(asked, params, CAN)
        assert found is None or isinstance(found, str)


def test_a_person_is_shown_which_server_asks() -> None:
    shown = json.loads(named("elicitation/create", form(), "shop"))
    assert shown["message"] == "[shop] ?"
    sampled = {"messages": [], "maxTokens": 1}
    assert json.loads(named("sampling/createMessage", sampled, "shop")) == sampled
