"""Attempts: each try of one model call at one vendor entry, and what to do after one. Pure.

INVARIANT: a call is repeated at the same vendor only where that vendor provably did nothing that
costs money: nothing was sent, or it answered a status that says to come back, or it closed an idle
connection in the moment we sent. After anything doubtful the doubtful attempt is charged as an
estimate, and only another vendor entry, if one is declared, is asked.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from quarterdeck.domain.limits import (
    RETRY_BACKOFF_MILLISECONDS,
    RETRY_BACKOFF_MILLISECONDS_MAX,
    RETRY_WAIT_SECONDS_MAX,
)
from quarterdeck.domain.money import Usage

#: How an attempt ended. `error`: a status that says to come back. `unreachable`: nothing was sent.
#: `closed`: an idle connection was closed as we sent. `unanswered`: sent, and nobody knows.
#: `not_tried`: its circuit was open or all its places were taken. `broken`: it broke off half-way.
AttemptEnd: TypeAlias = Literal[
    "answered", "error", "unreachable", "closed", "unanswered", "not_tried", "broken"
]

#: Nothing was generated, and asking again may help: rate limits, overload, a fault of the vendor.
RETRYABLE: Final = frozenset((429, 500, 502, 503, 504, 529))
_COSTS_NOTHING: Final = frozenset(("error", "unreachable", "closed"))


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one vendor entry, as the action's record keeps it."""

    vendor: str
    model: str
    end: AttemptEnd
    status: int | None = None
    #: From the start of the first attempt, in milliseconds.
    began_ms: int = 0
    took_ms: int = 0
    usage: Usage | None = None
    estimated: bool = False
    cost_nanousd: int = 0
    price_version: str = ""
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """What is known of it, by name; what is not is left out."""
        found: dict[str, Any] = {
            "vendor": self.vendor,
            "model": self.model,
            "end": self.end,
            "began_ms": self.began_ms,
            "took_ms": self.took_ms,
        }
        if self.status is not None:
            found["status"] = self.status
        if self.usage is not None:
            found["usage"] = self.usage.as_json()
            found["usage_source"] = "estimated" if self.estimated else "reported"
            found["cost_nanousd"] = self.cost_nanousd
            found["price_version"] = self.price_version
        if self.error:
            found["error"] = self.error
        return found


class Again(msgspec.Struct, frozen=True):
    """Ask the same vendor entry again, after a while."""

    seconds: float


class Over(msgspec.Struct, frozen=True):
    """Ask the declared fallback."""


class Stop(msgspec.Struct, frozen=True):
    """That was the last attempt."""


Step: TypeAlias = Again | Over | Stop


class Setback(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended without an answer to pass on, and what the vendor asked for."""

    end: AttemptEnd
    retry_after: float | None = None
    #: The vendor said in so many words not to repeat the call.
    final: bool = False


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of the patience with a call."""

    retries: int
    has_fallback: bool
    waited: float
    seconds_left: float


def next_step(setback: Setback, allowance: Allowance, *, tries: int, roll: float) -> Step:
    """What to do after a setback; `tries` is how often this entry was tried, `roll` is in [0, 1).

    Where another vendor entry is declared, nobody waits for one that asks to come back later.
    """
    otherwise: Step = Over() if allowance.has_fallback else Stop()
    if setback.final or setback.end not in _COSTS_NOTHING or tries > allowance.retries:
        return otherwise
    if setback.retry_after is not None and allowance.has_fallback:
        return otherwise
    seconds = backoff(tries, roll) if setback.retry_after is None else setback.retry_after
    patience = min(RETRY_WAIT_SECONDS_MAX - allowance.waited, allowance.seconds_left)
    return Again(seconds) if seconds <= patience else otherwise


def backoff(tries: int, roll: float) -> float:
    """Seconds to wait after so many tries: doubled each time, and between half and all of it."""
    longest = min(RETRY_BACKOFF_MILLISECONDS << (tries - 1), RETRY_BACKOFF_MILLISECONDS_MAX)
    return longest * (0.5 + roll / 2) / 1000


def setback_of(status: int, headers: Mapping[str, str], now: datetime) -> Setback | None:
    """What an answer's status says: a setback, or None for an answer to pass on."""
    if status not in RETRYABLE:
        return None
    return Setback(
        end="error",
        retry_after=_wait_asked(headers, now),
        final=headers.get("x-should-retry") == "false",
    )


def _wait_asked(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds a vendor asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    if asked is None or (seconds := _number(asked)) is not None:
        return None if asked is None else seconds
    try:
        date = parsedate_to_datetime(asked)
    except ValueError:
        return None
    # A date without a zone is in UTC, as every HTTP date is.
    until = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
