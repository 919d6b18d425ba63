"""MCP messages as bytes: what is one, what is none, and what is said of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.limits import JSON_DEPTH_MAX, MCP_ID_CHARACTERS_MAX
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Fault
from quarterdeck.domain.mcp.messages import (
    joined,
    notification,
    object_of,
    parse,
    plain,
    request,
    response,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def refusal(body: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        parse(body)
    return caught.value


def test_a_request_keeps_its_params_as_the_bytes_they_came_in() -> None:
    message = parse(b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a" : 1.50, "b":[]}}')
    assert (message.kind, message.id, message.method) == ("request", 7, "tools/call")
    assert bytes(message.params) == b'{"a" : 1.50, "b":[]}'
    assert bytes(message.members()["a"]) == b"1.50"


def test_the_three_kinds_are_told_apart() -> None:
    assert parse(b'{"jsonrpc":"2.0","method":"notifications/initialized"}').kind == "notification"
    assert parse(b'{"jsonrpc":"2.0","id":"q","result":{}}').kind == "response"
    assert parse(b'{"jsonrpc":"2.0","id":"q","error":{"code":1,"message":""}}').kind == "response"


def faulted(read: Callable[[], Any]) -> tuple[Fault | None, Any]:
    """The fault that was raised, or what was read."""
    try:
        return None, read()
    except Fault as fault:
        return fault, None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', PARSE_ERROR),
        (b"null", INVALID_REQUEST),
        (b'"text"', INVALID_REQUEST),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', INVALID_REQUEST),
        (b" [ ]", INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":2.0,"id":1,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":1}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"a"}{}', PARSE_ERROR),
    ],
)
def test_what_is_no_message_is_refused_with_the_code_for_it(body: bytes, code: int) -> None:
    assert refusal(body).code == code


def test_an_id_is_bounded() -> None:
    long = json.dumps({"jsonrpc": "2.0", "id": "x" * (MCP_ID_CHARACTERS_MAX + 1), "method": "a"})
    assert refusal(long.encode()).code == INVALID_REQUEST
    number = b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"a"}'
    assert refusal(number).code in (INVALID_REQUEST, PARSE_ERROR)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_bounded(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    for depth in (JSON_DEPTH_MAX + 1, 100_000):
        deep = opening * depth + b"1" + closing * depth
        body = b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":' + deep + b"}}"
        assert refusal(body).code in (INVALID_REQUEST, PARSE_ERROR)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a":{"b":1,"b":1}}',
        '[{"a":1},{"a":1,"\\u0061":2}]',
        '{"a:":"::","b":{"c":":","c":1}}',
    ],
)
def test_a_name_that_is_repeated_anywhere_is_refused(text: str) -> None:
    with pytest.raises(Fault) as caught:
        plain(text.encode(), "`arguments`")
    assert caught.value.code == INVALID_PARAMS


@given(JSON)
def test_what_repeats_no_name_is_read_as_it_is(value: object) -> None:
    text = json.dumps(value)
    fault, found = faulted(lambda: plain(text.encode(), "it"))
    if fault is None:
        assert found == json.loads(text)
    else:
        assert "cannot be read" in fault.message, "only numbers no reader agrees on"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_fault(body: bytes) -> None:
    fault, _ = faulted(lambda: parse(body))
    assert fault is None or fault.code in (PARSE_ERROR, INVALID_REQUEST)


@given(
    st.fixed_dictionaries(
        {"jsonrpc": st.sampled_from(["2.0", "1.0"])},
        optional={
            "id": JSON,
            "method": JSON,
            "params": JSON,
            "result": JSON,
            "error": JSON,
            "other": JSON,
        },
    )
)
def test_any_object_is_a_message_or_a_fault(fields: dict[str, object]) -> None:
    body = json.dumps(fields).encode()
    fault, message = faulted(lambda: parse(body))
    if fault is None:
        assert json.loads(message.written()) == fields
        fault, _ = faulted(message.members)
    assert fault is None or fault.code in (PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS)


def test_messages_are_written_from_raw_parts() -> None:
    raw = object_of(parse(b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1.0}}').params, "it")
    assert request("7", "tools/call", raw) == (
        b'{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"x":1.0}}'
    )
    assert notification("n", {}) == b'{"jsonrpc":"2.0","method":"n"}'
    assert response(1, b"{}") == b'{"jsonrpc":"2.0","id":1,"result":{}}'
    assert joined({"a": b"1", 'b"': b"[ ]"}) == b'{"a":1,"b\\"":[ ]}'


def test_a_fault_is_an_envelope_that_names_what_it_answers() -> None:
    fault = Fault(INVALID_PARAMS, "no", {"uri": "x:"})
    assert json.loads(fault.body("q")) == {
        "jsonrpc": "2.0",
        "id": "q",
        "error": {"code": -32602, "message": "no", "data": {"uri": "x:"}},
    }
    assert json.loads(fault.body(None))["id"] is None
    assert fault.status == 400
