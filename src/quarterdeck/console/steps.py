"""One action as a step: of a run's timeline, of a list, and at the head of its own page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from quarterdeck.console.plain import Moment, amount, count, duration, line, moment
from quarterdeck.console.views import (
    Badge,
    Cost,
    Link,
    Tone,
    action_href,
    agent_href,
    approval_href,
    badge,
    plan_href,
    run_href,
    suggestion_href,
)

ACTION_STATES: Final[dict[str, Tone]] = {
    "begun": "busy",
    "done": "good",
    "failed": "bad",
    "not_attempted": "calm",
    "refused": "bad",
    "held": "warn",
    "suggested": "calm",
    "in_doubt": "warn",
}
ANSWERS: Final[dict[str, Tone]] = {
    "allow": "good",
    "redact": "good",
    "ask": "warn",
    "suggest": "calm",
    "deny": "bad",
}
_WITHOUT_EFFECT: Final = frozenset(("not_attempted", "refused", "held", "suggested"))
OPEN: Final = frozenset(("begun", "in_doubt"))
_BUCKETS: Final = {
    "input": "input",
    "cache_read": "cache read",
    "cache_write": "cache write",
    "output": "output",
    "reasoning": "reasoning",
}
_TAKEN: Final = ("input", "cache_read", "cache_write")
_GIVEN: Final = ("output", "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that decided, and its sentence."""

    name: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Where in its run an action lies: begin and length in thousandths."""

    x: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An action as one step."""

    id: str
    href: str
    number: str
    place: int
    kind: str
    target: str
    nested: bool
    agent: str
    agent_href: str
    run: str
    run_href: str
    verdict: Badge
    rules: tuple[Rule, ...]
    telling: Rule | None
    state: Badge
    proposed: Moment
    offset: str
    duration: str
    bar: Bar | None
    cost: Cost
    tokens: str
    usage: str
    usage_source: str
    labels: tuple[str, ...]
    mark: str
    error: str
    #: Where people had, or have, a say in it.
    people: tuple[Link, ...]


def rules_of(reasons: Sequence[Mapping[str, str]]) -> tuple[Rule, ...]:
    """The rules that decided, each at a length that a page can bear."""
    return tuple(Rule(name=line(r["rule"], 160), because=line(r["because"], 600)) for r in reasons)


def step(
    action: Mapping[str, Any],
    now: datetime,
    *,
    place: int = 0,
    led: bool = False,
    started: int | None = None,
    until: int | None = None,
) -> Step:
    """An action as one step; `started` and `until` say where in its run it lies."""
    rules = rules_of(action["reasons"])
    usage = usage_words(action["usage"])
    kind = action["kind"]
    return Step(
        id=action["id"],
        href=action_href(action["id"]),
        number=f"{place + 1:,}",
        place=place,
        kind=line(kind, 20),
        target=line(action["target"], 120),
        nested=led and kind != "model",
        agent=line(action["agent"], 64),
        agent_href=agent_href(action["agent"]),
        run=action["run"],
        run_href=run_href(action["run"], at=action["id"]),
        verdict=badge(action["answer"], ANSWERS),
        rules=rules,
        telling=rules[0] if rules and action["answer"] != "allow" else None,
        state=badge(action["state"], ACTION_STATES),
        proposed=moment(action["proposed_at"], now),
        offset="" if started is None else "+" + duration(started, action["proposed_at"]),
        duration=duration_words(action),
        bar=None if started is None else _bar(action, started, until),
        cost=cost_of_action(action),
        tokens=_tokens(action["usage"]),
        usage=usage,
        usage_source=(action["usage_source"] or "") if usage else "",
        labels=tuple(action["labels"]),
        mark=action["mark"],
        error=line(action["detail"].get("error") or "", 600),
        people=_people(action),
    )


def _people(action: Mapping[str, Any]) -> tuple[Link, ...]:
    """The approval, suggestion and plan of an action, as far as its reading says."""
    said = (("approval", approval_href), ("suggestion", suggestion_href), ("plan", plan_href))
    return tuple(
        Link(text=word, href=where(action[word])) for word, where in said if action.get(word)
    )


def _bar(action: Mapping[str, Any], started: int, until: int | None) -> Bar:
    begun, ended = action["proposed_at"], action["settled_at"]
    last = max(until or 0, ended or begun, started + 1)
    x = min(995, max(0, (begun - started) * 1000 // (last - started)))
    length = 0 if ended is None else (ended - begun) * 1000 // (last - started)
    return Bar(x=x, width=max(5, min(1000 - x, length)))


def cost_of_action(action: Mapping[str, Any]) -> Cost:
    """What an action costs; not zero where that is not known."""
    state, source = action["state"], action["usage_source"]
    if state in _WITHOUT_EFFECT:
        return Cost(text="none", exact="", note="")
    if state in OPEN:
        held = action["held_nanousd"]
        if not held:
            return Cost(text="not yet known", exact="", note="")
        shown = amount(held)
        return Cost(text=shown.text, exact=shown.exact, note="held")
    if action["kind"] == "model" and source not in ("reported", "estimated"):
        return Cost(text="unknown", exact="", note="")
    shown = amount(action["cost_nanousd"])
    return Cost(
        text=shown.text, exact=shown.exact, note="estimated" if source == "estimated" else ""
    )


def usage_words(usage: Mapping[str, int] | None) -> str:
    """Every bucket of tokens that is not empty."""
    if not usage:
        return ""
    return " · ".join(f"{usage[b]:,} {word}" for b, word in _BUCKETS.items() if usage.get(b))


def _tokens(usage: Mapping[str, int] | None) -> str:
    """Tokens in and out, shortly."""
    if not usage:
        return ""
    taken = sum(usage.get(bucket, 0) for bucket in _TAKEN)
    given = sum(usage.get(bucket, 0) for bucket in _GIVEN)
    return f"{count(taken)} → {count(given)}"


def duration_words(action: Mapping[str, Any]) -> str:
    """How long an action took, or why that is not known."""
    if action["settled_at"] is not None:
        return duration(action["proposed_at"], action["settled_at"])
    if action["state"] == "begun":
        return "under way"
    return "unknown" if action["state"] == "in_doubt" else ""
