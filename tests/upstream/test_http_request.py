"""Arguments go where their contract says, and nowhere else, whatever they are."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.limits import HTTP_URL_BYTES_MAX
from quarterdeck.domain.tools import RESERVED_HEADERS, HttpBackend, Key
from quarterdeck.upstream.tools.http_request import HttpRequest, build

BASE = "https://api.example.com/v1"


def backend(
    path: str = "/things",
    method: str = "POST",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
) -> HttpBackend:
    return HttpBackend(
        server=ServerName("billing"),
        method=method,
        path=path,
        query=query or {},
        headers=headers or {},
        body=body,
    )


def made(operation: HttpBackend, arguments: Any, key: Key | None = None) -> HttpRequest:
    sent = arguments if isinstance(arguments, bytes) else orjson.dumps(arguments)
    return build(operation, BASE, sent, key, "act_1")


def segments(url: str) -> list[str]:
    return urlsplit(url).path.split("/")


@given(st.text())
def test_an_argument_stays_in_its_segment_of_the_path(text: str) -> None:
    try:
        request = made(backend("/users/{id}/orders"), {"id": text})
    except (Invalid, orjson.JSONEncodeError):
        return
    parts = segments(request.url)
    assert len(parts) == 5
    assert [parts[1], parts[2], parts[4]] == ["v1", "users", "orders"]
    assert unquote(parts[3]) == text
    assert re.fullmatch(r"[A-Za-z0-9._~%-]+", parts[3])
    seen = parts[3]
    for _ in range(3):  # whoever decodes it again sees one segment still
        seen = unquote(seen)
        assert "/" not in seen
        assert "\\" not in seen
        assert seen not in (".", "..")


@given(st.text(alphabet="./\\%2fFeE5c;\uff0e\uff0f", min_size=1, max_size=12))
def test_no_spelling_of_a_step_leaves_a_segment(text: str) -> None:
    try:
        request = made(backend("/users/{id}/orders"), {"id": text})
    except Invalid:
        return
    decoded = request.url
    for _ in range(5):
        decoded = unquote(decoded)
    assert decoded.count("/") == (BASE + "/users//orders").count("/")


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a/b", "..%2fadmin", "%2e%2e", "%252e%252e%252fadmin", "a\\b", "x\n"),
        *("\0", "\uff0e\uff0e", "a\uff0fb", "..;x", "%2F", "%5c", "%255c"),
    ],
)
def test_what_could_be_another_path_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        made(backend("/users/{id}"), {"id": text})
    assert "`id`" in refused.value.message


@pytest.mark.parametrize("value", [None, {"a": 1}, ["a"], {}])
def test_what_is_no_text_is_no_segment(value: object) -> None:
    with pytest.raises(Invalid):
        made(backend("/users/{id}"), {"id": value})


def test_a_value_in_braces_is_a_value() -> None:
    request = made(backend("/{a}/{b}"), {"a": "{b}", "b": "x"})
    assert segments(request.url)[-2:] == ["%7Bb%7D", "x"]


def test_two_arguments_make_no_step_together() -> None:
    with pytest.raises(Invalid):
        made(backend("/{a}{b}/x"), {"a": ".", "b": "."})


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text() | st.integers() | st.booleans()))
def test_a_query_says_each_argument_once_and_nothing_else(values: dict[str, Any]) -> None:
    names = {"x[]": "a", "y": "b", "z": "c"}
    try:
        request = made(backend(query=names), values)
    except (Invalid, orjson.JSONEncodeError):
        return
    found = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    wanted = []
    for wire, name in names.items():
        if name in values:
            value = values[name]
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            wanted.append((wire, text))
    assert found == wanted
    assert urlsplit(request.url).fragment == ""


def test_a_list_is_said_once_for_each_of_its_items() -> None:
    request = made(backend(query={"tag": "tags"}), {"tags": ["a b", 2, True]})
    assert urlsplit(request.url).query == "tag=a%20b&tag=2&tag=true"


@pytest.mark.parametrize("value", [{"a": 1}, [["a"]], [{"a": 1}]])
def test_a_query_takes_no_objects(value: object) -> None:
    with pytest.raises(Invalid):
        made(backend(query={"q": "q"}), {"q": value})


@given(st.text())
def test_a_header_is_one_line_of_printable_ascii(text: str) -> None:
    try:
        request = made(backend(headers={"X-Note": "note"}), {"note": text})
    except (Invalid, orjson.JSONEncodeError):
        return
    assert re.fullmatch(r"[ -~]*", request.headers["x-note"])


@pytest.mark.parametrize("text", ["a\r\nx: y", "a\n", "\0", "ä", "x" * 5000])
def test_what_is_no_line_is_no_header(text: str) -> None:
    with pytest.raises(Invalid):
        made(backend(headers={"X-Note": "note"}), {"note": text})


@pytest.mark.parametrize("name", sorted(RESERVED_HEADERS))
def test_headers_that_say_how_it_is_sent_are_no_arguments(name: str) -> None:
    with pytest.raises(Invalid):
        made(backend(headers={name.title(): "note"}), {"note": "x"})


def test_a_body_is_the_bytes_of_its_argument() -> None:
    sent = b'{"order": {"n": 123456789012345678901234567890.10, "s": "\\u00e4"}}'
    request = made(backend(body="order"), sent)
    assert request.body == b'{"n": 123456789012345678901234567890.10, "s": "\\u00e4"}'
    assert request.headers["content-type"] == "application/json"


def test_a_body_of_the_rest_holds_what_went_nowhere_else() -> None:
    operation = backend("/users/{id}", query={"q": "q"}, headers={"X-H": "h"}, body="*")
    request = made(operation, b'{"id":"1","q":"2","h":"3","a":1.0,"b":{"c":null}}')
    assert request.body == b'{"a":1.0,"b":{"c":null}}'


def test_an_optional_argument_that_is_not_there_is_not_sent() -> None:
    request = made(backend(query={"q": "q"}, headers={"X-H": "h"}, body="b"), {})
    assert request.url == f"{BASE}/things"
    assert request.body is None
    assert request.headers == {}


def test_the_key_goes_into_its_header_or_its_argument() -> None:
    header = Key(place="header", name="Idempotency-Key")
    assert made(backend(), {}, header).headers == {"idempotency-key": "act_1"}
    argument = Key(place="argument", name="request_id")
    assert made(backend(body="*"), {"a": 1}, argument).body == b'{"a":1,"request_id":"act_1"}'
    said = made(backend(body="*"), {"request_id": "mine"}, argument)
    assert said.body == b'{"request_id":"mine"}'


def test_a_url_has_a_length() -> None:
    with pytest.raises(Invalid):
        made(backend(query={"q": "q"}), {"q": "x" * HTTP_URL_BYTES_MAX})


@pytest.mark.parametrize(
    "arguments", [b"", b"[]", b"{", b"1", b'"x"', b"\xff", b'{"id":"\\ud800"}']
)
def test_what_is_no_object_makes_no_request(arguments: bytes) -> None:
    with pytest.raises(Invalid):
        made(backend("/users/{id}"), arguments)
