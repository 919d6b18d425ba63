"""Exchanges with MCP servers as messages: what is written, and what is believed of what comes."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from quarterdeck.domain.limits import JSON_DEPTH_MAX, SLICE_BYTES
from quarterdeck.domain.mcp.asks import Reply
from quarterdeck.domain.mcp.exchanges import (
    Answered,
    Unreadable,
    Wanted,
    depth_steps,
    discovered,
    heard,
    reply_to,
    routing_headers,
    rpc_error,
    written,
)


def is_too_deep(body: bytes) -> bool:
    """Whether the steps refuse it."""
    try:
        for _ in depth_steps(body):
            pass
    except Unreadable:
        return True
    return False


def depth_of(value: Any) -> int:
    """How deep a value is nested, the slow way."""
    if isinstance(value, dict):
        return 1 + max((depth_of(v) for v in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(v) for v in value), default=0)
    return 0


TRICKY = st.text(alphabet='[]{}\\"ab\n', max_size=40)
NESTED = st.recursive(
    TRICKY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRICKY, inner, max_size=3)
)


@given(NESTED, st.integers(0, 200), st.integers(0, 300))
def test_depth_is_counted_outside_of_texts_only(value: Any, depth: int, filler: int) -> None:
    deep: Any = [value] * 3 + ["]" * filler, "\\" * filler]
    for _ in range(depth):
        deep = [deep, "[{" * 60]
    body = json.dumps(deep).encode()
    assert is_too_deep(body) == (depth_of(deep) > JSON_DEPTH_MAX)


@pytest.mark.parametrize("text", ["\\" * SLICE_BYTES, '\\"[' * SLICE_BYTES, "[" * 200_000, '"'])
@pytest.mark.parametrize("shift", range(4))
def test_a_slice_never_ends_between_a_backslash_and_what_it_escapes(text: str, shift: int) -> None:
    filled = ["x" * shift, text, ["[[["] * 200]
    body = json.dumps(filled).encode()
    assert not is_too_deep(body)
    deep = body[:-1] + b"," + b"[" * 200 + b"]" * 200 + b"]"
    assert is_too_deep(deep)


def test_a_request_of_each_era_says_what_its_server_needs() -> None:
    arguments = b'{"n": 1.0}'
    wanted = Wanted(
        method="tools/call",
        params={"name": b'"s\xc3\xbcd"', "arguments": arguments},
        meta={"progressToken": Raw(b'"t"')},
        capabilities=b'{"elicitation":{}}',
    )
    stateless = written(wanted, 7, "2026-07-28")
    assert arguments in stateless
    meta = json.loads(stateless)["params"]["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {}}
    assert meta["progressToken"] == "t"
    assert routing_headers(wanted)["mcp-name"] == "=?base64?c8O8ZA==?="
    handshake = json.loads(written(wanted, 7, "2025-11-25"))
    assert handshake["params"]["_meta"] == {"progressToken": "t"}


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b'{"id":1}', b'{"id":true,"result":1}', b"\xff", b'{"result":"\xff"}'],
)
def test_what_is_no_message_is_not_believed(line: bytes) -> None:
    with pytest.raises(Unreadable):
        heard(line)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_unreadable(line: bytes) -> None:
    with contextlib.suppress(Unreadable):
        heard(line)


def test_an_answer_to_a_server_is_a_result_or_an_error() -> None:
    assert json.loads(reply_to("q", Reply(result=b"{}"))) == {
        "jsonrpc": "2.0", "id": "q", "result": {}
    }  # fmt: skip
    assert json.loads(reply_to(1, Reply()))["error"]["code"] == -32601


def test_what_cannot_be_read_of_an_error_or_a_discovery_says_nothing() -> None:
    assert rpc_error(b'"x"').message == "the server answered an error that cannot be read"
    assert rpc_error(b'{"code":1,"message":"m","data":"' + b"x" * 9000 + b'"}').shown() == {
        "code": 1, "message": "m"
    }  # fmt: skip
    assert discovered(Answered(result=b'{"supportedVersions":["2099-01-01"]}')) is None
    assert discovered(Answered(result=b"[]")) is None
    assert discovered(Answered(error=b"{}")) is None
