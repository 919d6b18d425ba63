"""What a change of the folder does, in sentences; nothing is ever passed over."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from quarterdeck.domain.fleets import Cap, Fleet
from quarterdeck.fleet import template
from quarterdeck.fleet.diff import changes
from quarterdeck.fleet.load import load

AGENT, TOOL, CODE = "agents/assistant.yaml", "tools/find_article.yaml", "tools/find_article.py"
FOLDER = {
    path: text.encode()
    for path, text in template.contents().items()
    if not path.startswith("schemas/")
}
BEFORE = load(FOLDER)


def said(path: str, old: str, new: str) -> list[str]:
    """What is said of one edit of the folder."""
    text = FOLDER[path].decode()
    assert old in text
    after = load({**FOLDER, path: text.replace(old, new, 1).encode()})
    return [str(change) for change in changes(BEFORE, after)]


def test_a_first_fleet_is_told_in_full() -> None:
    assert [str(change) for change in changes(None, BEFORE)] == [
        "fleet `my-fleet` added",
        "team `everyone` added: cap of 20.00 USD a day",
        "person `me` added: owner",
        "vendor `standin` added: openai at http://127.0.0.1:8099/v1",
        "tool `escalate` added: effect draft",
        "tool `find_article` added: effect read",
        "agent `assistant` added: autonomy L1; models `standin-1`; "
        "tools `find_article`, `escalate`; cap of 5.00 USD a day",
    ]


def test_the_same_fleet_again_changes_nothing() -> None:
    assert changes(BEFORE, load(dict(FOLDER))) == ()


def test_a_comment_changes_nothing() -> None:
    assert said("fleet.yaml", "name: my-fleet", "name: my-fleet # ours") == []


NEW_REVISION = (
    "agent `assistant` changed: new revision: a tool, quota or vendor it uses changed, "
    "or how it is carried out"
)


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (AGENT, "- find_article", "", ["agent `assistant` changed: tools lost: `find_article`"]),
        (
            AGENT,
            "  - find_article\n  - escalate",
            "  - escalate\n  - find_article",
            ["agent `assistant` changed: tools in another order"],
        ),
        (
            AGENT,
            "autonomy: L1",
            "autonomy: L2",
            ["agent `assistant` changed: autonomy `L1` → `L2`"],
        ),
        (
            AGENT,
            "temperature: 0",
            "temperature: 1",
            ["agent `assistant` changed: main model's parameters changed"],
        ),
        (
            AGENT,
            '"5"',
            '"7.5"',
            ["agent `assistant` changed: cap of 5.00 USD a day raised to 7.50 USD"],
        ),
        (
            AGENT,
            '"5"',
            "1",
            ["agent `assistant` changed: cap of 5.00 USD a day lowered to 1.00 USD"],
        ),
        (
            AGENT,
            "unit: usd, per: day",
            "unit: usd, per: week",
            [
                "agent `assistant` changed: cap of 5.00 USD a day removed; "
                "cap of 5.00 USD a week added"
            ],
        ),
        (
            AGENT,
            "turns_max: 10",
            "turns_max: 12",
            ["agent `assistant` changed: turns max `10` → `12`"],
        ),
        (
            AGENT,
            "turns_max: 10",
            "criticality: true\nturns_max: 10",
            ["agent `assistant` changed: critical `false` → `true`"],
        ),
        (
            "prompts/assistant.md",
            "You answer",
            "You always answer",
            ["agent `assistant` changed: prompt changed (279 characters → 286 characters)"],
        ),
        (
            TOOL,
            "effect: read",
            "effect: write",
            ["tool `find_article` changed: effect `read` → `write`", NEW_REVISION],
        ),
        (
            TOOL,
            "maxLength: 64",
            "maxLength: 65",
            ["tool `find_article` changed: arguments schema changed", NEW_REVISION],
        ),
        (
            TOOL,
            "idempotent: true",
            'cost: "0.002"\nidempotent: true',
            ["tool `find_article` changed: cost 0.00 → 0.002 USD a call", NEW_REVISION],
        ),
        (
            CODE,
            "two weeks",
            "three weeks",
            ["tool `find_article` changed: Python function changed", NEW_REVISION],
        ),
        (
            "fleet.yaml",
            '"0.15"',
            '"0.20"',
            [
                "vendor `standin` changed: price of `standin-1` "
                "0.15 in, 0.60 out (fleet.yaml ee6f829382fc) → "
                "0.20 in, 0.60 out (fleet.yaml adf100f05adf)"
            ],
        ),
        (
            "fleet.yaml",
            "8099/v1",
            "8100/v1",
            [
                "vendor `standin` changed: base url "
                "`http://127.0.0.1:8099/v1` → `http://127.0.0.1:8100/v1`",
                NEW_REVISION,
            ],
        ),
        (
            "fleet.yaml",
            "    dialect: openai",
            "    secret: KEY\n    dialect: openai",
            ["vendor `standin` changed: secret none → `KEY`"],
        ),
        (
            "fleet.yaml",
            "    dialect: openai",
            "    allow: [web-search]\n    dialect: openai",
            ["vendor `standin` changed: allows `web-search`", NEW_REVISION],
        ),
        ("fleet.yaml", "Your Name", "Mara", ["person `me` changed: name `Your Name` → `Mara`"]),
        (
            "fleet.yaml",
            '"20"',
            '"10"',
            ["team `everyone` changed: cap of 20.00 USD a day lowered to 10.00 USD"],
        ),
        (
            "fleet.yaml",
            "name: my-fleet",
            "name: ours",
            ["fleet `ours` changed: name `my-fleet` → `ours`"],
        ),
        (
            "fleet.yaml",
            "name: my-fleet",
            "name: my-fleet\nbudgets: [{unit: calls, per: month, amount: 100}]",
            ["fleet `my-fleet` changed: cap of 100 calls a month added"],
        ),
    ],
)
def test_a_change_is_told_in_a_short_sentence(
    path: str, old: str, new: str, expected: list[str]
) -> None:
    assert said(path, old, new) == expected


def test_what_goes_is_told_as_well_as_what_comes() -> None:
    files = {**FOLDER, "agents/second.yaml": FOLDER[AGENT].replace(b"assistant\n", b"second\n", 1)}
    files["agents/second.yaml"] = files["agents/second.yaml"].replace(b"ts/second", b"ts/assistant")
    both = load(files)
    assert str(changes(BEFORE, both)[0]).startswith("agent `second` added: ")
    assert [str(change) for change in changes(both, BEFORE)] == ["agent `second` removed"]


def other(value: Any) -> Any:
    """A different value of the same type, for any field of any part of a fleet."""
    if isinstance(value, tuple):
        return value[1:] if value else (Cap(unit="calls", period="day", amount=1),)
    if isinstance(value, frozenset):
        return value | {"other"}
    if isinstance(value, Mapping):
        return {**value, "other": 1}
    if value is None or isinstance(value, str):
        return f"{value}-other"
    if is_dataclass(value):
        return None
    return value + 1


def with_field(part: Any, name: str) -> Any:
    """The same part, one field of it different."""
    return replace(part, **{name: other(getattr(part, name))})


def variants() -> Iterator[tuple[str, Fleet]]:
    """Every field of every part, changed by itself."""
    for noun in ("agents", "tools", "vendors"):
        table = getattr(BEFORE, noun)
        for name, part in table.items():
            for field in fields(part):
                if field.name not in ("name", "prices"):
                    changed: Any = {noun: {**table, name: with_field(part, field.name)}}
                    yield f"{noun}.{name}.{field.name}", replace(BEFORE, **changed)
    for name in ("name", "caps", "people"):
        yield name, with_field(BEFORE, name)


VARIANTS = dict(variants())


@pytest.mark.parametrize("what", VARIANTS)
def test_no_field_of_a_fleet_can_change_without_a_sentence(what: str) -> None:
    after = VARIANTS[what]
    assert after != BEFORE
    told = changes(BEFORE, after)
    assert told
    assert all(change.details or change.kind != "changed" for change in told)
