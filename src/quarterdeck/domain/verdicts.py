"""Verdicts: what the checkpoint answers, and the rules that decided it.

Strictness is a lattice, allow < redact < ask < suggest < deny: the strictest answer wins and its
reasons are kept. Suggest beats ask: a suggest-only agent does not execute even when approved.
"""

from typing import Final, Literal, TypeAlias

import msgspec

Answer: TypeAlias = Literal["allow", "redact", "ask", "suggest", "deny"]
STRICTNESS: Final[dict[Answer, int]] = {"allow": 0, "redact": 1, "ask": 2, "suggest": 3, "deny": 4}


class Reason(msgspec.Struct, frozen=True):
    """One rule that spoke: its id (`grant:tool:x`, `freeze:agent:y`) and a sentence."""

    rule: str
    because: str


class Verdict(msgspec.Struct, frozen=True):
    """An answer that always names the rules that decided it."""

    answer: Answer
    reasons: tuple[Reason, ...]

    def __post_init__(self) -> None:
        assert self.reasons, "a verdict names the rules that decided it"
        assert self.answer in STRICTNESS, "an unknown answer would outrank nothing"


def allow(rule: str, because: str) -> Verdict:
    """Allowed by one rule."""
    return Verdict("allow", (Reason(rule, because),))


def deny(rule: str, because: str) -> Verdict:
    """Denied by one rule."""
    return Verdict("deny", (Reason(rule, because),))


def strictest(first: Verdict, *others: Verdict) -> Verdict:
    """The strictest answer, with every reason that gave it."""
    answer, reasons = first.answer, dict.fromkeys(first.reasons)
    for verdict in others:
        if STRICTNESS[verdict.answer] > STRICTNESS[answer]:
            answer, reasons = verdict.answer, dict.fromkeys(verdict.reasons)
        elif verdict.answer == answer:
            reasons.update(dict.fromkeys(verdict.reasons))
    return Verdict(answer, tuple(reasons))
