"""Peeking at model requests: what is read, what is edited, and which bytes are unusable."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.dialects import SPOKEN, ModelRequest
from quarterdeck.domain.dialects.request import members
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import JSON_DEPTH_MAX, OUTPUT_TOKENS_DEFAULT

NOTHING: frozenset[str] = frozenset()
HI = {"role": "user", "content": "hi"}
DIALECTS = ("anthropic", "openai")


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [HI]} | fields, separators=(",", ":")).encode()


def peek(dialect: str, source: bytes, *allow: str) -> ModelRequest:
    return SPOKEN[dialect].peek(source, frozenset(allow))


def openai(**fields: Any) -> ModelRequest:
    return peek("openai", body(**fields))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_request_without_need_of_edits_is_forwarded_as_the_same_object(dialect: str) -> None:
    source = body(max_tokens=9, temperature=0.5, unheard_of={"a": 1})
    request = peek(dialect, source)
    assert request.forward is source
    assert request.edits == ()
    assert not request.withhold_usage
    assert (request.model, request.stream) == ("m", False)
    assert request.unknown == ("unheard_of",)
    assert request.findings == ()
    assert request.content.parts == (b'{"role":"user","content":"hi"}',)
    assert json.loads(request.content.rest) == {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.5,
        "unheard_of": {"a": 1},
    }


def test_messages_are_parts_as_the_raw_bytes_they_came_in() -> None:
    first, second = b'{ "role" : "user","content":"\\u00e9" }', b'{"content":"x","role":"user"}'
    source = b'{"messages": [ ' + first + b" ,\n" + second + b'],"model":"m","max_tokens":1}'
    assert peek("openai", source).content.parts == (first, second)


@pytest.mark.parametrize(
    "system", [b'"be kind"', b'[{"type":"text","text":"be kind","cache_control":{}}]']
)
def test_the_system_prompt_of_an_anthropic_request_is_its_first_part(system: bytes) -> None:
    source = b'{"model":"m","system":' + system + b',"messages":[],"max_tokens":1}'
    request = peek("anthropic", source)
    assert request.content.parts == (system,)
    assert json.loads(request.content.rest) == {"model": "m", "max_tokens": 1}


def test_a_missing_cap_is_added_in_front_and_every_other_byte_stays() -> None:
    source = b' { "model" : "m",  "messages":[ ] }'
    request = peek("openai", source)
    added = f'"max_completion_tokens":{OUTPUT_TOKENS_DEFAULT},'.encode()
    assert request.forward == b" {" + added + b' "model" : "m",  "messages":[ ] }'
    assert request.edits == ("max_completion_tokens",)
    assert request.tokens.output_max == OUTPUT_TOKENS_DEFAULT
    assert not request.withhold_usage


def test_the_older_name_of_the_cap_is_used_where_the_vendor_wants_it() -> None:
    request = peek("openai", body(), "legacy-max-tokens")
    assert json.loads(request.forward)["max_tokens"] == OUTPUT_TOKENS_DEFAULT
    assert "max_completion_tokens" not in json.loads(request.forward)


def test_a_cap_of_null_is_replaced_in_place_and_never_repeated() -> None:
    source = body(max_completion_tokens=None, user="u")
    forward = peek("openai", source).forward
    assert forward == source.replace(b"null", str(OUTPUT_TOKENS_DEFAULT).encode())


@pytest.mark.parametrize(
    ("given_options", "sent"),
    [
        (b"", b'"stream_options":{"include_usage":true},'),
        (b'"stream_options":null,', b'"stream_options":{"include_usage":true},'),
        (b'"stream_options":{},', b'"stream_options":{"include_usage":true},'),
        (
            b'"stream_options":{ "include_usage" : false },',
            b'"stream_options":{ "include_usage" : true },',
        ),
        (b'"stream_options":{"include_usage":null},', b'"stream_options":{"include_usage":true},'),
        (
            b'"stream_options":{"include_obfuscation":false},',
            b'"stream_options":{"include_usage":true,"include_obfuscation":false},',
        ),
    ],
)
def test_usage_is_asked_for_where_a_stream_did_not(given_options: bytes, sent: bytes) -> None:
    rest = b'"model":"m","messages":[],"stream":true,"max_tokens":5}'
    request = peek("openai", b"{" + given_options + rest)
    assert request.forward == b"{" + sent + rest
    assert request.edits == ("stream_options",)
    assert request.withhold_usage


def test_a_stream_that_asked_for_usage_keeps_it() -> None:
    source = body(stream=True, stream_options={"include_usage": True}, max_tokens=5)
    request = peek("openai", source)
    assert request.forward is source
    assert request.stream
    assert not request.withhold_usage


def test_both_edits_together_leave_one_object_that_says_both() -> None:
    sent = json.loads(openai(stream=True, stream_options={"include_usage": False}).forward)
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["max_completion_tokens"] == OUTPUT_TOKENS_DEFAULT


def test_an_anthropic_request_is_never_edited() -> None:
    source = body(stream=True)
    request = peek("anthropic", source)
    assert request.forward is source
    assert request.tokens.output_max == OUTPUT_TOKENS_DEFAULT


def test_the_output_bound_is_the_cap_times_the_choices() -> None:
    assert openai(max_tokens=7, n=3).tokens.output_max == 21
    assert openai(max_tokens=7, max_completion_tokens=9).tokens.output_max == 9
    assert openai(n=2).tokens.output_max == 2 * OUTPUT_TOKENS_DEFAULT
    assert peek("anthropic", body(max_tokens=0)).tokens.output_max == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_input_bound_grows_with_bytes_messages_and_images(dialect: str) -> None:
    small, large = body(max_tokens=1), body(max_tokens=1, user="x" * 100)
    bound = peek(dialect, small).tokens.input_max
    assert bound > len(small)
    assert peek(dialect, large).tokens.input_max - bound == len(large) - len(small)
    two = body(max_tokens=1, messages=[HI, HI])
    assert peek(dialect, two).tokens.input_max - bound > len(two) - len(small)
    image = {
        "openai": {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        "anthropic": {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        },
    }[dialect]
    seen = body(max_tokens=1, messages=[{"role": "user", "content": [image]}])
    # A blank picture of four bytes still costs what its pixels cost.
    assert peek(dialect, seen).tokens.input_max > len(seen) + 4000
    assert peek(dialect, seen).findings == ()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"", "not valid JSON"),
        (b"hello", "not valid JSON"),
        (b'{"model":"m","messages":[]', "not valid JSON"),
        (b'{"model":"m","messages":[]} x', "not valid JSON"),
        (b'\xef\xbb\xbf{"model":"m","messages":[]}', "not valid JSON"),
        (b'{"model":"m","messages":[NaN]}', "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"messages":[]}', "names no `model`"),
        (b'{"model":"","messages":[]}', "names no `model`"),
        (b'{"model":7,"messages":[]}', "names no `model`"),
        (b'{"model":"m"}', "no `messages`"),
        (b'{"model":"m","messages":{}}', "not a list"),
        (b'{"model":"m","messages":"hi"}', "not a list"),
        (b'{"model":"m","messages":["hi"]}', "not a list of objects"),
        (b'{"model":"m","messages":[{"role":"user","content":7}]}', "no text and no list"),
        (b'{"model":"m","messages":[{"role":"user","content":{}}]}', "no text and no list"),
        (b'{"model":"m","messages":[{"role":"user","content":["a",7]}]}', "not a JSON object"),
        (b'{"model":"m","messages":[],"stream":"yes"}', "`stream` is not true or false"),
        (b'{"model":"m","messages":[],"max_tokens":"9"}', "`max_tokens` is not a whole number"),
        (b'{"model":"m","messages":[],"max_tokens":-1}', "`max_tokens` is -1"),
        (b'{"model":"m","messages":[],"max_tokens":1.5}', "`max_tokens` is not a whole number"),
        (b'{"model":"m","messages":[],"max_tokens":999999999999999999999}', "`max_tokens` is 9"),
        (b'{"model":"m","messages":[],"tools":{}}', "`tools` is not a list"),
        (b'{"model":"m","messages":[],"tools":[1]}', "not a JSON object"),
        (b'{"model":"m","messages":[],"user":"\xff"}', "not UTF-8"),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}', "not UTF-8"),
        (b'{"model":"m","model":"n","messages":[]}', "field `model` twice"),
        (b'{"model":"m","messages":[],"m\\u006fdel":"n"}', "field `model` twice"),
        (b'{"model":"m","messages":[],"Model":"n"}', "a field `Model`, not `model`"),
        ('{"model":"m","messages":[],"\u017ftream":true}'.encode(), "not `stream`"),
        (
            b'{"model":"m","messages":[{"role":"user","content":"a","content":[]}]}',
            "field `content` twice",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":[],"content":"a"}]}',
            "field `content` twice",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","c\\u006fntent":[],"content":"a"}]}',
            "field `content` twice",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":"a","Content":[]}]}',
            "a field `Content`, not `content`",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":'
            b'[{"type":"x","type":"text","text":"t"}]}]}',
            "field `type` twice",
        ),
        (
            b'{"model":"m","messages":[],"tools":[{"type":"x","type":"function"}]}',
            "field `type` twice",
        ),
        (
            b'{"model":"m","messages":[],"tools":[{"type":"x","function":{},"type":"function"}]}',
            "field `type` twice",
        ),
    ],
)
def test_unusable_bytes_are_invalid_and_say_why(dialect: str, source: bytes, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        peek(dialect, source)
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [{"n": 0}, {"n": 129}, {"n": True}, {"max_tokens": 0}, {"max_completion_tokens": 0}],
)
def test_numbers_beyond_their_bounds_are_invalid(fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        openai(**fields)


def test_stream_options_that_are_no_object_are_invalid() -> None:
    with pytest.raises(Invalid, match="stream_options"):
        openai(stream=True, stream_options=[])


def nested(depth: int) -> Any:
    value: Any = "x" * 300
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("place", ["field", "list", "message", "role"])
def test_depth_is_refused_exactly_beyond_its_limit(dialect: str, place: str) -> None:
    """Brackets inside strings do not count, and width is no depth."""

    def request(levels: int) -> bytes:
        deep = nested(levels)
        placed: dict[str, dict[str, Any]] = {
            "field": {"metadata": {"d": deep}},
            "list": {"stop": [deep]},
            "message": {"messages": [HI | {"extra": deep}]},
            "role": {"messages": [{"role": [deep], "content": "[" * 500}]},
        }
        wide = [[{}]] * 500
        return body(max_tokens=1, wide=wide, user="[{" * 500, **placed[place])

    above = {"field": 2, "list": 2, "message": 3, "role": 4}[place]
    assert peek(dialect, request(JSON_DEPTH_MAX - above)).model == "m"
    with pytest.raises(Invalid, match="nested too deeply"):
        peek(dialect, request(JSON_DEPTH_MAX - above + 1))
    with pytest.raises(Invalid, match="nested too deeply"):
        peek(dialect, body(metadata="D").replace(b'"D"', b"[" * 100_000 + b"]" * 100_000))


NAMES = st.sampled_from(["a", "ab", "model", "messages", "n", "", "é", "a b", 'q"', "\\"])
VALUES = st.sampled_from(
    ["1", "12", "-3", "null", '""', '"a"', '"\\"a\\":1"', "[]", '{"a":1,"a":2}', "[1, 2]", '"é"']
)
SPACES = st.sampled_from(["", "", "", " ", "\n", "  ", "\t"])


@st.composite
def objects(draw: st.DrawFn) -> str:
    """The text of an object: names may repeat, be written in escapes, and stand wide apart."""
    written = []
    for _ in range(draw(st.integers(0, 6))):
        name = json.dumps(draw(NAMES), ensure_ascii=draw(st.booleans()))
        if draw(st.booleans()) and "a" in name:
            name = name.replace("a", "\\u0061")
        gaps = [draw(SPACES) for _ in range(4)]
        written.append(f"{gaps[0]}{name}{gaps[1]}:{gaps[2]}{draw(VALUES)}{gaps[3]}")
    return draw(SPACES) + "{" + (",".join(written) or draw(SPACES)) + "}" + draw(SPACES)


@settings(deadline=None)
@given(objects())
def test_repeated_names_are_found_exactly_where_a_strict_parser_finds_them(text: str) -> None:
    levels: list[list[str]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        levels.append([name for name, _ in pairs])

    json.loads(text, object_pairs_hook=keep)
    names = levels[-1]  # the outermost object closes last
    if len(set(names)) == len(names):
        assert list(members(text.encode(), "it")) == names
    else:
        with pytest.raises(Invalid, match="twice"):
            members(text.encode(), "it")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    options=st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "include_usage": st.none() | st.booleans(),
            "include_obfuscation": st.booleans(),
        },
    ),
    given_options=st.booleans(),
    cap=st.sampled_from(["absent", "null", "older", "newer"]),
    extra=st.dictionaries(st.sampled_from(["stop", "metadata", "zz", "é"]), JSON_VALUES),
    order=st.randoms(use_true_random=False),
    indent=st.sampled_from([None, 0, 2]),
)
def test_edits_add_what_is_needed_and_change_nothing_else(
    options: Any, given_options: bool, cap: str, extra: Any, order: Any, indent: int | None
) -> None:
    fields = {"model": "m", "messages": [HI], "stream": True, **extra}
    if given_options:
        fields["stream_options"] = options
    fields |= {
        "absent": {},
        "null": {"max_completion_tokens": None},
        "older": {"max_tokens": 3},
        "newer": {"max_completion_tokens": 4},
    }[cap]
    names = list(fields)
    order.shuffle(names)
    source = json.dumps({n: fields[n] for n in names}, indent=indent).encode()
    request = peek("openai", source)
    sent = json.loads(request.forward)

    wanted = dict(fields)
    if cap in ("absent", "null"):
        wanted["max_completion_tokens"] = OUTPUT_TOKENS_DEFAULT
    if not (given_options and (options or {}).get("include_usage")):
        kept = (options or {}) if given_options else {}
        wanted["stream_options"] = kept | {"include_usage": True}
    assert sent == wanted
    assert (request.forward is source) == (request.edits == ())
    # The messages and everything else the client wrote are still there, byte for byte.
    for part in request.content.parts:
        assert part in request.forward
    assert peek("openai", request.forward).forward == request.forward
