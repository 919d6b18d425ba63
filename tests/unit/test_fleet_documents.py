"""Reading one YAML file: values by YAML 1.2's core rules, lines, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.limits import FLEET_FILE_BYTES_MAX, JSON_DEPTH_MAX
from quarterdeck.fleet.documents import INTEGER_MAX, Document, read
from quarterdeck.fleet.problems import Findings


def parsed(text: str | bytes) -> Document:
    found = Findings()
    document = read("x.yaml", text if isinstance(text, bytes) else text.encode(), found)
    assert not found.problems
    assert document is not None
    return document


def refusals(text: str | bytes) -> list[str]:
    found = Findings()
    document = read("x.yaml", text if isinstance(text, bytes) else text.encode(), found)
    assert document is None
    return [str(problem) for problem in found.problems]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0.25", 0.25),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("2026-11-21", "2026-11-21"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ('"no"', "no"),
        ("'12'", "12"),
        ("y", "y"),
        ("nobody", "nobody"),
        ("1.2.3", "1.2.3"),
        ("|\n  one\n  two\n", "one\ntwo\n"),
    ],
)
def test_a_word_means_what_yaml_1_2_says(word: str, value: Any) -> None:
    assert parsed(f"a: {word}").value == {"a": value}
    assert type(parsed(f"a: {word}").value["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x.yaml:1: the file is empty; write `field: value` lines"),
        ("# only a comment", "x.yaml:1: the file is empty; write `field: value` lines"),
        ("- a", "x.yaml:1: the file is not a mapping; write `field: value` lines"),
        ("a: 1\na: 2", "x.yaml:2: a: written twice; keep one; the first is on line 1"),
        ("a: &x 1\nb: 2", "x.yaml:1: a: anchor or alias `x`; write the value out"),
        ("a: *x", "x.yaml:1: a: anchor or alias `x`; write the value out"),
        (
            "a: !!str x",
            "x.yaml:1: a: tag `tag:yaml.org,2002:str`; remove it; types come from the schema",
        ),
        ("<<: {a: 1}", "x.yaml:1: key `<<` is not text; write the fields out"),
        ("a: {1: x}", 'x.yaml:1: a: key `1` is not text; put it in quotes: "1"'),
        ("on: x", 'x.yaml:1: key `on` is not text; put it in quotes: "on"'),
        ("? [a]\n: b", "x.yaml:1: a key that is not text; write `field: value`"),
        (
            "a: Yes",
            "x.yaml:1: a: `Yes` can mean a word or true or false; "
            'write `true`, or put it in quotes: "Yes"',
        ),
        ("a: .inf", "x.yaml:1: a: `.inf` is not a number; write a finite number"),
        ("a: 1e999", "x.yaml:1: a: `1e999` is too large a number; put it in quotes"),
        (
            "a: 9007199254740992",
            "x.yaml:1: a: `9007199254740992` is too large a number; put it in quotes",
        ),
        ("a: 0123", 'x.yaml:1: a: `0123` starts with 0; write `123`, or put it in quotes: "0123"'),
        ("a:\n\tb: 1", "x.yaml:2: a tab used for indentation; write spaces"),
        ("a: b: c", "x.yaml:1: a second `:` in one value; put the value in quotes"),
        ("a: @b", "x.yaml:1: a character that cannot start a value; put the value in quotes"),
        ("a: 1\n---\nb: 2", "x.yaml:2: a second YAML document; keep one per file; remove `---`"),
        ("a: 1\nb: \x07", "x.yaml:2: a control character; remove it"),
        (
            "a: [1,\nb: 2",
            "x.yaml:3: not valid YAML: did not find expected ',' or ']' "
            "(begun on line 1); check indentation, brackets and quotes here",
        ),
        (b"a: 1\nb: \xff", "x.yaml:2: the file is not UTF-8; save it as UTF-8"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str | bytes, expected: str) -> None:
    assert refusals(text) == [expected]


def test_every_mistake_in_a_file_is_told_not_only_the_first() -> None:
    assert [line.split(": ")[0] for line in refusals("a: yes\nb: 1\nc: no\nb: 2")] == [
        "x.yaml:1",
        "x.yaml:3",
        "x.yaml:4",
    ]


def test_aliases_that_would_expand_into_a_bomb_are_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert all("anchor or alias" in line for line in refusals(bomb))


def test_values_nested_too_deep_are_refused_without_exhausting_the_stack() -> None:
    deep = "a: " + "[" * (JSON_DEPTH_MAX - 1) + "]" * (JSON_DEPTH_MAX - 1)
    assert parsed(deep).value
    too_deep = "a: " + "[" * 900 + "]" * 900
    assert refusals(too_deep) == ["x.yaml:1: a[0][0]: values are nested too deep; make it flatter"]
    assert refusals("a: " + "[" * 500_000)


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    assert refusals(b"a" * (FLEET_FILE_BYTES_MAX + 1)) == [
        f"x.yaml: the file is larger than {FLEET_FILE_BYTES_MAX} bytes; "
        "split it, or keep material that agents read somewhere else"
    ]


def test_a_byte_order_mark_and_foreign_line_ends_change_nothing() -> None:
    assert parsed(b"\xef\xbb\xbfa: 1\r\nb: two\r\n").value == {"a": 1, "b": "two"}


def test_every_value_and_key_knows_its_line_and_what_is_missing_gets_the_nearest() -> None:
    document = parsed("a:\n  b:\n    - 1\n    - c: 2\nd: 3\n")
    assert document.line(("a", "b", 1, "c")) == 4
    assert document.key_line(("a", "b")) == 2
    assert document.line(("a", "b", 1, "missing", "deeper")) == 4
    assert document.line(("nowhere",)) == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=100), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=100), JSON, max_size=4))
@settings(max_examples=200, deadline=None)
def test_json_is_read_as_json_reads_it(value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1)
    # Only JSON can put a character beyond the first plane into two escapes; YAML knows no halves.
    if any(ord(character) > 0xFFFF for character in json.dumps(value, ensure_ascii=False)):
        return
    assert parsed(text).value == json.loads(text)


@given(st.text() | st.binary())
@settings(max_examples=500, deadline=None)
def test_whatever_a_file_holds_reading_it_ends_in_a_value_or_in_problems(
    content: str | bytes,
) -> None:
    found = Findings()
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    document = read("x.yaml", raw, found)
    assert (document is None) == bool(found.problems)


@given(st.text("ab:-[]{}&*!|>'\"%@`#,?\n \t0.1~yesno<", max_size=60))
@settings(max_examples=1000, deadline=None)
def test_whatever_yaml_is_made_of_reading_it_ends_in_a_value_or_in_problems(text: str) -> None:
    found = Findings()
    document = read("x.yaml", text.encode(), found)
    assert (document is None) == bool(found.problems)
