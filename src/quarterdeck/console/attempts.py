"""The attempts of one model call, as a table: who was asked, how it ended, what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quarterdeck.console.plain import amount, duration, line
from quarterdeck.console.steps import usage_words
from quarterdeck.console.views import Cost

#: How an attempt ended, in words; `domain/attempts.py` says what each means.
ENDS: Final[Mapping[str, str]] = {
    "answered": "answered",
    "error": "answered an error",
    "unreachable": "could not be reached",
    "closed": "closed the connection before it read",
    "unanswered": "sent, and never answered",
    "not_tried": "not tried: its circuit was open or its places taken",
    "broken": "broke off half-way",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt."""

    number: int
    vendor: str
    model: str
    end: str
    error: str
    after: str
    took: str
    usage: str
    cost: Cost


def attempt_rows(detail: Mapping[str, Any]) -> tuple[AttemptRow, ...]:
    """Each try of a call that had more than one, or whose only one was not answered."""
    found: Sequence[Mapping[str, Any]] = detail.get("attempts") or ()
    return tuple(_row(number, attempt) for number, attempt in enumerate(found, start=1))


def _row(number: int, attempt: Mapping[str, Any]) -> AttemptRow:
    end = ENDS.get(attempt["end"], line(attempt["end"], 40))
    began = attempt["began_ms"] * 1000
    return AttemptRow(
        number=number,
        vendor=line(attempt["vendor"], 64),
        model=line(attempt["model"], 120),
        end=f"{end} ({attempt['status']})" if "status" in attempt else end,
        error=line(attempt.get("error", ""), 300),
        after="+" + duration(0, began),
        took=duration(0, attempt["took_ms"] * 1000),
        usage=usage_words(attempt.get("usage")),
        cost=_cost(attempt),
    )


def _cost(attempt: Mapping[str, Any]) -> Cost:
    if "cost_nanousd" not in attempt:
        return Cost(text="nothing", exact="", note="")
    shown = amount(attempt["cost_nanousd"])
    note = "estimated" if attempt["usage_source"] == "estimated" else ""
    return Cost(text=shown.text, exact=shown.exact, note=note)
