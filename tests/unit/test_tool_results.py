"""Results of tools in the protocol's form, and as a model reads them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.tool_results import (
    kind_of,
    of_failure,
    of_value,
    readable,
    with_members,
    with_type,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "text", "structured"),
    [
        (b'{"n": 1}', '{"n": 1}', {"n": 1}),
        (b'"a text"', "a text", None),
        (b"[1,2]", "[1,2]", None),
        (b"", "null", None),
    ],
)
def test_a_value_is_a_text_and_structure_where_it_has_any(
    value: bytes, text: str, structured: object
) -> None:
    found = json.loads(of_value(value))
    assert found["content"] == [{"type": "text", "text": text}]
    assert found.get("structuredContent") == structured
    assert found["isError"] is False


@given(JSON)
def test_any_value_can_be_said_and_read_back(value: object) -> None:
    raw = json.dumps(value).encode()
    said = of_value(raw)
    assert readable(said) == (value if isinstance(value, str) else raw.decode())


def test_a_failure_is_an_error_that_a_model_can_read() -> None:
    found = json.loads(of_failure("no room", {"x": {"a": 1}}))
    assert (found["isError"], found["_meta"]) == (True, {"x": {"a": 1}})
    assert readable(of_failure("no room", {})) == "no room"


@pytest.mark.parametrize(
    ("result", "typed"),
    [
        (b"{}", {"resultType": "complete"}),
        (b' { "content" :[] } ', {"resultType": "complete", "content": []}),
        (b'{"resultType":"input_required"}', {"resultType": "input_required"}),
    ],
)
def test_a_result_says_what_kind_it_is(result: bytes, typed: object) -> None:
    assert json.loads(with_type(result)) == typed
    assert with_type(with_type(result)) == with_type(result)


def test_what_a_result_says_itself_is_not_said_again() -> None:
    result = b'{"ttlMs": 5, "contents" : [ 1.0 ]}'
    found = with_members(result, {"ttlMs": b"0", "cacheScope": b'"private"'})
    assert found == b'{"cacheScope":"private","ttlMs": 5, "contents" : [ 1.0 ]}'


@pytest.mark.parametrize("broken", [b"", b"[]", b"null", b"\xff", b'{"resultType": 7}'])
def test_what_is_no_result_is_left_as_it_is(broken: bytes) -> None:
    assert with_type(broken) == broken
    assert kind_of(broken) == "complete"
    assert isinstance(readable(broken), str)


def test_what_is_no_text_is_named() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "image", "data": "AAAA"}, {"type": "text"}]
    assert readable(json.dumps({"content": blocks}).encode()).startswith("a\n[image, ")
    assert readable(b'{"structuredContent": {"n":1}}') == '{"n":1}'
