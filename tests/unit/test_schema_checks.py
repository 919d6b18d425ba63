"""How much work a schema makes is known before it is used; what has no bound does not load."""

import time
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.limits import VALUE_CHECKS_MAX
from quarterdeck.fleet.contracts import argument_faults, faults, fit
from quarterdeck.fleet.schema_checks import Endless, checks_at_most, checks_per_place

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "left": {"$ref": "#/$defs/node"},
                "right": {"$ref": "#/$defs/node"},
                "all": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
}
JSON_VALUE = {
    "$ref": "#/$defs/value",
    "$defs": {
        "value": {
            "anyOf": [
                {"type": ["string", "number", "boolean", "null"]},
                {"type": "array", "items": {"$ref": "#/$defs/value"}},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
            ]
        }
    },
}


def expressions(operators: int) -> dict[str, Any]:
    """A language whose every operator takes expressions under the same name."""
    return {
        "$ref": "#/$defs/e",
        "$defs": {
            "e": {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {
                            "op": {"const": f"op{n}"},
                            "of": {"type": "array", "items": {"$ref": "#/$defs/e"}},
                        },
                    }
                    for n in range(operators)
                ]
            }
        },
    }


def doubling(times: int) -> dict[str, Any]:
    """Each definition asks for the next one twice: a billion laughs."""
    return {
        "$ref": "#/$defs/d0",
        "$defs": {
            **{
                f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
                for n in range(times)
            },
            f"d{times}": {"type": "integer"},
        },
    }


def loops(n: int) -> dict[str, Any]:
    """A schema that comes back to itself through `n` references, without a step."""
    return {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{i}": {"$ref": f"#/$defs/d{(i + 1) % n}"} for i in range(n)},
    }


@pytest.mark.parametrize(
    ("schema", "most"),
    [
        ({"type": "object"}, 1),
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}}, 1),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 3),
        (TREE, 2),
        (JSON_VALUE, 5),
        ({"properties": {"a": {}}, "patternProperties": {"^a": {}, "b": {}}}, 3),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, 1),
        ({"items": {"type": "string"}, "contains": {"const": 1}, "prefixItems": [{}]}, 3),
        ({"propertyNames": {"allOf": [{"maxLength": 3}, {"pattern": "^a"}]}}, 3),
        ({"$dynamicRef": "#x", "$defs": {"x": {"$dynamicAnchor": "x", "type": "string"}}}, 2),
        ({"if": {"const": 1}, "then": {"const": 1}, "else": {"type": "string"}}, 4),
        (True, 1),
    ],
)
def test_what_looks_at_one_place_is_counted(schema: Any, most: int) -> None:
    assert checks_per_place(schema) == most


@pytest.mark.parametrize(
    "schema",
    [
        expressions(2),
        expressions(40),
        doubling(12),
        doubling(5000),
        loops(1),
        loops(2),
        loops(3000),
        {"allOf": [{"$ref": "#"}]},
        {"not": {"$ref": "#"}},
        {"items": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}},
        {"patternProperties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
        {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a$": {"$ref": "#"}}},
        {"items": {"$ref": "#"}, "contains": {"$ref": "#"}},
        {"properties": {f"p{n}": {"type": "string", "title": str(n)} for n in range(11_000)}},
    ],
    ids=lambda schema: str(schema)[:60],
)
def test_a_schema_whose_work_has_no_bound_is_refused_in_time(schema: Mapping[str, Any]) -> None:
    began = time.process_time()
    with pytest.raises(Endless):
        checks_per_place(schema)
    assert time.process_time() - began < 5


def test_such_a_schema_is_a_problem_with_a_place_and_a_hint() -> None:
    schema = {"type": "object", "properties": {"query": {"$ref": "#/$defs/e"}}}
    schema |= {"$defs": expressions(3)["$defs"]}
    [(path, message, hint)] = argument_faults(schema)
    assert "checked more than 1000 times" in message
    assert "at most one alternative" in hint
    assert path[:2] == ("$defs", "e")


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"$ref": "https://example.com/schema.json"}, "outside this file"),
        ({"$ref": "file:///etc/passwd"}, "outside this file"),
        ({"$ref": "other.json#/x"}, "outside this file"),
        ({"properties": {"a": {"$dynamicRef": "http://127.0.0.1/x"}}}, "outside this file"),
        ({"$id": "https://example.com/x"}, "unknown keyword"),
        ({"$ref": "#/$defs/gone"}, "leads nowhere"),
        ({"pattern": "(a+)+\\1"}, "linear time"),
        ({"pattern": "(?=a)b"}, "linear time"),
        ({"pattern": "(?:a{0,1000}){0,1000}"}, "linear time"),
        ({"type": "text"}, "is no type"),
    ],
)
def test_a_schema_that_reaches_out_or_takes_for_ever_is_refused(
    schema: dict[str, Any], word: str
) -> None:
    found = list(faults(schema))
    assert found, schema
    assert any(word in message for _, message, _ in found), found


def test_the_checker_never_fetches_a_schema() -> None:
    """Nothing is opened even where a reference is never reached by `faults`."""
    with pytest.raises(Exception, match=r"(?i)retriev|offline|resol"):
        fit({"$ref": "http://127.0.0.1:1/schema.json"}).validator.validate({})


def test_a_recursive_schema_checks_a_deep_value_in_time() -> None:
    value: Any = {}
    for _ in range(60):
        value = {"left": value, "right": {}, "all": [{}]}
    written = orjson.dumps(value)
    assert fit(TREE).misfit(value, written) is None
    assert fit(JSON_VALUE).misfit(value, written) is None


def test_a_value_that_would_take_too_long_does_not_fit() -> None:
    wide = {"items": {"anyOf": [{"const": n} for n in range(900)]}}
    value = list(range(100_000))
    began = time.process_time()
    found = fit(wide).misfit(value, orjson.dumps(value))
    assert time.process_time() - began < 2
    assert found is not None
    assert "too large to be checked" in found.message
    assert 100_000 * fit(wide).checks > VALUE_CHECKS_MAX


def test_a_heavy_pattern_takes_short_texts_only() -> None:
    heavy = fit({"type": "string", "pattern": r"^(\w{1,64}\s?){1,50}$"})
    assert not heavy.is_light
    assert heavy.misfit("word word", b'"word word"') is None
    text = "word " * 100_000
    found = heavy.misfit(text, orjson.dumps(text))
    assert found is not None
    assert "patterns" in found.message


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "uniqueItems": True}, [{"a": n, "b": [n]} for n in range(60_000)]),
        ({"type": "array", "uniqueItems": True}, [n / 7 for n in range(200_000)]),
        ({"type": "string", "pattern": "(?:a?){200}a{200}$"}, "a" * 2_000_000 + "b"),
        ({"type": "string", "pattern": "(.*)*(.*)*x"}, "a" * 2_000_000),
        ({"type": "string", "format": "email"}, "a" * 2_000_000),
        ({"type": "string", "format": "idn-hostname"}, "a." * 500_000),
        ({"type": "string", "format": "uri"}, "a:" * 1_000_000),
        ({"type": "string", "format": "regex"}, "(" * 500_000),
        ({"type": "string", "minLength": 10**6}, "é" * 2_000_000),
        ({"type": "number", "multipleOf": 1e-300}, 1e300),
        ({"enum": list(range(2000))}, [1] * 500_000),
        ({"type": "object", "maxProperties": 10**6}, {str(n): n for n in range(200_000)}),
    ],
    ids=lambda v: str(v)[:50],
)
def test_the_largest_values_let_in_are_checked_in_time(schema: dict[str, Any], value: Any) -> None:
    began = time.process_time()
    fit(schema).misfit(value, orjson.dumps(value))
    assert time.process_time() - began < 5


names = st.sampled_from(["a", "b", "c"])
references = names.map(lambda name: {"$ref": f"#/$defs/{name}"})
schemas = st.recursive(
    st.sampled_from([{}, True, {"type": "string"}, {"type": "object"}, {"const": 1}]) | references,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"contains": inner}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"if": inner, "then": inner}),
        st.fixed_dictionaries({"additionalProperties": inner}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"prefixItems": parts}),
        st.dictionaries(names, inner, max_size=3).map(lambda d: {"properties": d}),
        st.dictionaries(names, inner, max_size=2).map(lambda d: {"patternProperties": d}),
    ),
    max_leaves=12,
)
values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=30,
)


@given(schemas)
def test_the_quick_count_is_never_less_than_the_exact_one(schema: Any) -> None:
    root = {"allOf": [schema], "$defs": {name: {"type": "string"} for name in "abc"}}
    try:
        exact = checks_per_place(root)
    except Endless:
        with pytest.raises(Endless):
            checks_at_most(root)
        return
    assert checks_at_most(root) >= exact


@settings(max_examples=60, deadline=5000)
@given(schemas, schemas, schemas, schemas, values)
def test_any_schema_is_refused_or_checks_any_value_in_time(
    a: Any, b: Any, c: Any, root: Any, value: Any
) -> None:
    schema = {"allOf": [root], "$defs": {"a": a, "b": b, "c": c}}
    if list(faults(schema)):
        return
    deep = value
    for _ in range(40):
        deep = {"a": [deep], "b": value}
    fit(schema).misfit(deep, orjson.dumps(deep))


KEYWORDS = [
    *("$ref", "$defs", "$anchor", "type", "items", "properties", "pattern", "enum", "not"),
    *("anyOf", "required", "minimum", "multipleOf", "format", "maxItems", "x-mine"),
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS) | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=2000)
@given(st.dictionaries(st.sampled_from(["type", "properties", "$defs", "allOf"]), anything))
def test_whatever_stands_where_a_schema_should_is_answered(schema: dict[str, Any]) -> None:
    for path, message, hint in argument_faults(schema):
        assert isinstance(path, tuple)
        assert message
        assert hint
