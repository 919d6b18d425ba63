"""Doubts: what is done about an action of which nobody knows whether it took place. Pure.

INVARIANT: trying again ends. What nobody knows is never called failed without that word.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from quarterdeck.domain.limits import (
    DOUBT_PAUSE_SECONDS,
    DOUBT_PAUSE_SECONDS_MAX,
    DOUBT_SECONDS_MAX,
    DOUBT_TRIES_MAX,
    HOLD_LAPSE_SECONDS,
)

Resolution: TypeAlias = Literal["estimate", "retry", "wait"]
#: The member of an action's detail that says so, where its state is only how it was settled.
OUTCOME: Final = "outcome"
UNKNOWN: Final = "unknown"
_MICROS: Final = 1_000_000


def pause_seconds(tries: int) -> int:
    """How long to wait after so many tries: longer each time."""
    return min(DOUBT_PAUSE_SECONDS << (tries - 1), DOUBT_PAUSE_SECONDS_MAX)


def resolve(*, is_model: bool, is_repeatable: bool, tries: int, age: int) -> Resolution:
    """What to do now; `age` is in microseconds since it was asked for.

    A repeat is only harmless while the server remembers the key it came with the first time.
    """
    if is_model:
        return "estimate"
    if is_repeatable and tries < DOUBT_TRIES_MAX and age <= DOUBT_SECONDS_MAX * _MICROS:
        return "retry"
    return "estimate" if age >= HOLD_LAPSE_SECONDS * _MICROS else "wait"


def ended_detail(tries: int) -> dict[str, str]:
    """What is recorded of an action whose doubt has ended without an answer."""
    tried = f"tried again {tries} {'time' if tries == 1 else 'times'}; " if tries else ""
    return {
        OUTCOME: UNKNOWN,
        "error": f"{tried}nobody knows whether it took place; charged in full as estimated",
    }


def is_unknown(detail: Mapping[str, Any]) -> bool:
    """Whether a settled action is one of which nobody knows whether it took place."""
    return detail.get(OUTCOME) == UNKNOWN


def words(*, tries: int, is_over: bool) -> str:
    """What people should know and do, in plain words."""
    if is_over:
        return (
            "Nobody knows whether it took place, and it is not tried again. Look in the system that"
            " it changes, by its arguments or by its id. If it is there, nothing is left to do; if"
            " not, do it by hand or start the agent again. What it may have cost is charged in"
            " full."
        )
    if tries:
        return (
            "Nobody knows yet whether it took place. It is called again under the same key by"
            f" itself, later each time: {tries} of {DOUBT_TRIES_MAX} tries so far, for an hour at"
            " the most. Nothing is left to do but to see that its server works. Its money stays"
            " held."
        )
    return (
        "Nobody knows yet whether it took place. If its contract says that a repeat is harmless, it"
        " is called again by itself in a moment. Anything else is left to you: look in the system"
        " that it changes, and do there what is missing. Its money stays held, and is charged in"
        f" full {HOLD_LAPSE_SECONDS // 60} minutes after it was asked for."
    )
