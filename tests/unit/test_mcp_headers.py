"""Headers that repeat a message of the stateless era, and what happens when they do not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.mcp.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    UNSUPPORTED_VERSION,
    Fault,
)
from quarterdeck.domain.mcp.headers import (
    annotated,
    check,
    check_params,
    decoded,
    encoded,
    is_stateless,
    meta_of,
    param_headers,
    told,
)
from quarterdeck.domain.mcp.messages import parse

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
SENT = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "look_up"}


def checked(
    sent: dict[str, str] = SENT, meta: dict[str, Any] = META, **params: Any
) -> Fault | None:
    body = {"name": "look_up", "_meta": meta} | params
    message = parse(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body}).encode()
    )
    try:
        found = message.members()
        headers = told((n.encode(), v.encode("latin-1")) for n, v in sent.items())
        check(headers, message, found, meta_of(found))
    except Fault as fault:
        return fault
    return None


def test_a_request_that_agrees_with_itself_passes() -> None:
    assert checked() is None


@pytest.mark.parametrize(
    "changed",
    [
        {"mcp-method": "tools/list"},
        {"mcp-method": "TOOLS/CALL"},
        {"mcp-name": "pay"},
        {"mcp-name": "=?base64?cGF5?="},
        {"mcp-name": "=?base64?bG9va191cB==?="},
        {"mcp-name": "=?base64?!!?="},
        {"mcp-name": "look_up\x00"},
        {"mcp-protocol-version": "2025-11-25"},
    ],
)
def test_a_header_that_disagrees_is_a_mismatch(changed: dict[str, str]) -> None:
    fault = checked(SENT | changed)
    assert fault is not None
    assert (fault.code, fault.status) == (HEADER_MISMATCH, 400)


@pytest.mark.parametrize("name", SENT)
def test_a_header_that_is_missing_is_a_mismatch(name: str) -> None:
    fault = checked({n: v for n, v in SENT.items() if n != name})
    assert fault is not None
    assert fault.code == HEADER_MISMATCH


def test_a_name_in_base64_is_decoded_before_it_is_compared() -> None:
    assert checked(SENT | {"mcp-name": "=?base64?bG9va191cA==?="}) is None
    unicode = SENT | {"mcp-name": encoded("Straße 本")}
    assert checked(unicode, name="Straße 本") is None
    assert checked(unicode, name="Strasse 本") is not None


def test_white_space_around_a_header_is_none_of_it() -> None:
    assert checked(SENT | {"mcp-name": " look_up\t", "mcp-method": "tools/call "}) is None


def test_a_header_twice_is_a_mismatch_though_both_agree() -> None:
    for name in (b"mcp-method", b"mcp-name", b"mcp-protocol-version", b"mcp-param-x"):
        with pytest.raises(Fault) as caught:
            told([(name, b"x"), (name, b"x")])
        assert caught.value.code == HEADER_MISMATCH


@pytest.mark.parametrize("name", META)
def test_what_a_request_must_carry_is_asked_for(name: str) -> None:
    fault = checked(meta={n: v for n, v in META.items() if n != name})
    assert fault is not None
    assert (fault.code, fault.status) == (INVALID_PARAMS, 400)


def test_another_version_is_answered_with_those_that_are_spoken() -> None:
    version = "2099-01-01"
    meta = META | {"io.modelcontextprotocol/protocolVersion": version}
    fault = checked(SENT | {"mcp-protocol-version": version}, meta)
    assert fault is not None
    assert fault.code == UNSUPPORTED_VERSION
    assert fault.data["requested"] == version
    assert fault.data["supported"][0] == "2026-07-28"


def test_what_a_message_carries_decides_its_era() -> None:
    meta = meta_of(parse(_listing(META)).members())
    assert is_stateless(told([]), meta)
    assert is_stateless(told([(b"mcp-protocol-version", b"2026-07-28")]), {})
    assert not is_stateless(told([(b"mcp-protocol-version", b"2025-11-25")]), {})
    assert not is_stateless(told([]), {})


def _listing(meta: dict[str, Any]) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    return json.dumps(message).encode()


@given(st.text())
def test_any_text_comes_back_from_a_header(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate is in no JSON either
    header = encoded(text)
    assert header.isascii()
    assert header.isprintable()
    assert decoded(header) == text


@given(st.text())
def test_any_header_is_read_or_refused(header: str) -> None:
    found = decoded(header)
    assert found is None or isinstance(found, str)


SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "where": {
            "type": "object",
            "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry"}},
        },
        "x-mcp-header": {"type": "string"},
    },
}


def test_annotated_arguments_are_found_where_plain_properties_lead() -> None:
    found = {one.token: one.path for one in annotated(SCHEMA)}
    assert found == {"region": ("region",), "count": ("count",), "dry": ("where", "dry")}


@pytest.mark.parametrize(
    "schema",
    [
        {"x-mcp-header": "A"},
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": ["string"], "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": ""}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "A B"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "A\r\nB: c"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": 7}}},
        {"items": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}},
        {"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]},
        {"$defs": {"d": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}}},
        {
            "properties": {
                "a": {"type": "string", "x-mcp-header": "A"},
                "b": {"type": "string", "x-mcp-header": "a"},
            }
        },
    ],
)
def test_an_annotation_the_protocol_forbids_spoils_the_definition(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="x-mcp-header"):
        annotated(schema)


@pytest.mark.parametrize(
    ("headers", "arguments", "agrees"),
    [
        ({"region": "eu", "count": "42"}, {"region": "eu", "count": 42}, True),
        ({"count": "42.0"}, {"count": 42}, True),
        ({"count": "42"}, {"count": 42.0}, True),
        ({"count": "4e1"}, {"count": 40}, False),
        ({"count": "43"}, {"count": 42}, False),
        ({"dry": "true"}, {"where": {"dry": True}}, True),
        ({"dry": "True"}, {"where": {"dry": True}}, False),
        ({}, {"region": None}, True),
        ({}, {}, True),
        ({}, {"region": "eu"}, False),
        ({"region": "eu"}, {}, False),
        ({"region": "us"}, {"region": "eu"}, False),
        ({"region": "=?base64?ZXU=?="}, {"region": "eu"}, True),
        ({"region": "=?base64?ZX?="}, {"region": "eu"}, False),
        ({"other": "x"}, {}, True),
    ],
)
def test_arguments_and_their_headers_agree(
    headers: dict[str, str], arguments: dict[str, Any], agrees: bool
) -> None:
    said = told((f"mcp-param-{n}".encode(), v.encode()) for n, v in headers.items())
    if agrees:
        check_params(said, annotated(SCHEMA), arguments)
        return
    with pytest.raises(Fault) as caught:
        check_params(said, annotated(SCHEMA), arguments)
    assert caught.value.code == HEADER_MISMATCH


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "region": st.text(),
            "count": st.integers(-(2**53) + 1, 2**53 - 1),
            "where": st.fixed_dictionaries({}, optional={"dry": st.booleans()}),
        },
    )
)
def test_headers_made_for_arguments_agree_with_them(arguments: dict[str, Any]) -> None:
    try:
        made = param_headers(annotated(SCHEMA), arguments)
    except UnicodeEncodeError:
        return  # a lone surrogate is in no JSON
    said = told((n.encode(), v.encode()) for n, v in made)
    check_params(said, annotated(SCHEMA), arguments)
