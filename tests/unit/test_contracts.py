"""What the arguments of a call must be beyond their schema."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.contracts import amount_of, bounds_verdict, read
from quarterdeck.domain.limits import JSON_DEPTH_MAX, TOOL_ARGUMENTS_BYTES_MAX
from quarterdeck.domain.tools import Destination, Moves, Tool

REFUND = Moves(currency="USD", most="500", argument="amount")
TO = Destination(argument="to", allow=("*@example.com",))


def tool(*, moves: tuple[Moves, ...] = (), destinations: tuple[Destination, ...] = ()) -> Tool:
    """A tool with nothing but bounds."""
    return Tool(
        name="refund",  # type: ignore[arg-type]  # a literal name
        description="Pays back.",
        arguments={"type": "object"},
        results=None,
        effect="write",
        trust="trusted",
        idempotent=False,
        reversible=None,
        repeatable=False,
        timeout_seconds=5,
        cost_nanousd=0,
        backend=None,
        digest="tool_x",
        moves=moves,
        destinations=destinations,
    )


def rule(asked: Tool, sent: bytes) -> str | None:
    """The rule that denies these arguments."""
    arguments = read(sent)
    assert isinstance(arguments, dict)
    verdict = bounds_verdict(asked, arguments, sent)
    return None if verdict is None else verdict.reasons[0].rule


@pytest.mark.parametrize(
    "sent",
    ["500", "0", "499.99", '"500"', '"500.00"', '"0.01"', "-0", "5e2", "500.000000000000000000000"],
)
def test_an_amount_up_to_the_most_may_be_moved(sent: str) -> None:
    assert rule(tool(moves=(REFUND,)), f'{{"amount":{sent}}}'.encode()) is None


@pytest.mark.parametrize(
    "sent",
    [
        "501", "500.01", "-1", "-0.01", '"-1"', '"501"', '"5e2"', '"+5"', '" 5"', '"5,00"',
        '"\u0665"',
        '""', '"NaN"', '"Infinity"', "true", "null", "[1]", '{"value":1}', "5e2000", "1e308",
        "500.00000000000000000000001", '"500 USD"', '"0x10"', '"1_000"',
        "9" * 400, '"' + "9" * 400 + '"',
    ],
)  # fmt: skip
def test_an_amount_that_is_more_or_that_nobody_can_read_is_denied(sent: str) -> None:
    body = f'{{"amount":{sent}}}'.encode()
    if isinstance(read(body), str):
        assert read(body) == "the arguments are not JSON"
        return
    assert rule(tool(moves=(REFUND,)), body) == "contract:moves"


def test_a_number_of_thousands_of_digits_is_not_read() -> None:
    assert read(b'{"amount":' + b"9" * 5000 + b"}") == "the arguments are not JSON"
    small = b'{"amount":0.' + b"0" * 5000 + b"1}"
    assert rule(tool(moves=(REFUND,)), small) is None


def test_a_missing_amount_is_denied_and_one_that_no_argument_says_is_not() -> None:
    assert rule(tool(moves=(REFUND,)), b"{}") == "contract:moves"
    flat = Moves(currency="USD", most="500", argument=None)
    assert rule(tool(moves=(flat,)), b"{}") is None


def test_a_destination_is_looked_at_wherever_it_is_given() -> None:
    asked = tool(destinations=(TO,))
    assert rule(asked, b'{"to":"ann@example.com"}') is None
    assert rule(asked, b"{}") is None
    assert rule(asked, b'{"to":"eve@evil.com"}') == "contract:destinations"
    assert rule(asked, b'{"to":["ann@example.com","eve@evil.com"]}') == "contract:destinations"
    assert rule(asked, b'{"to":null}') == "contract:destinations"


@pytest.mark.parametrize("name", ["To", "TO", "\uff54\uff4f", "tO"])
def test_another_spelling_of_an_argument_that_decides_is_denied(name: str) -> None:
    body = orjson.dumps({"to": "ann@example.com", name: "eve@evil.com"})
    assert rule(tool(destinations=(TO,)), body) == "contract:arguments"


def test_what_is_denied_is_said_without_a_steering_character() -> None:
    asked = tool(destinations=(TO,))
    arguments = {"to": "`\u202e\x1b[31m" + "x" * 200}
    verdict = bounds_verdict(asked, arguments, orjson.dumps(arguments))
    assert verdict is not None
    assert verdict.reasons[0].because.isprintable()
    assert len(verdict.reasons[0].because) < 300


@pytest.mark.parametrize(
    "sent",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"b":":","a":2}}',
        b'{"x":[{"a":"::","a":2}]}',
        b'{"a":"\\":","a":1}',
        b'{"":1,"":2}',
    ],
)
def test_a_name_written_twice_is_refused(sent: bytes) -> None:
    assert read(sent) == "the arguments name something twice"


@pytest.mark.parametrize(
    "sent",
    [b'{"a":"x:y","b":{"a":1}}', b'{"a:b":1}', b'{"a":"\\"a\\":1"}', b'{"url":"http://x:1/"}'],
)
def test_a_colon_is_no_name(sent: bytes) -> None:
    assert read(sent) == orjson.loads(sent)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b'{"a":1e999}', "not JSON"),
        (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":"' + b"x" * TOOL_ARGUMENTS_BYTES_MAX + b'"}', "larger than"),
    ],
)
def test_arguments_that_cannot_be_read_say_why(sent: bytes, said: str) -> None:
    found = read(sent)
    assert isinstance(found, str)
    assert said in found


def test_arguments_at_the_depth_limit_are_read() -> None:
    deep = b'{"a":' + b"[" * (JSON_DEPTH_MAX - 1) + b"]" * (JSON_DEPTH_MAX - 1) + b"}"
    assert isinstance(read(deep), dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5))
def test_any_object_reads_as_itself(value: dict[str, Any]) -> None:
    assert read(orjson.dumps(value)) == value
    assert read(json.dumps(value).encode()) == value


@given(st.lists(st.tuples(st.sampled_from(["a", "b", ":", "\\", '"']), st.text(max_size=3))))
def test_a_pair_that_is_lost_in_reading_is_always_noticed(pairs: list[tuple[str, str]]) -> None:
    sent = "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs) + "}"
    has_twice = len({name for name, _ in pairs}) < len(pairs)
    assert isinstance(read(sent.encode()), str) == has_twice


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.text(max_size=20))
def test_an_amount_is_never_negative_and_never_endless(value: object) -> None:
    amount = amount_of(value)
    assert amount is None or (amount.is_finite() and amount >= 0)
    assert not isinstance(value, Decimal) or value.is_finite() or amount is None
