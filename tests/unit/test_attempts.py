"""Attempts: what may be sent again, how long is waited before it, and what never is."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.attempts import (
    RETRYABLE,
    Again,
    Allowance,
    AttemptEnd,
    Over,
    Setback,
    Stop,
    backoff,
    next_step,
    setback_of,
)
from quarterdeck.domain.limits import (
    RETRY_BACKOFF_MILLISECONDS,
    RETRY_BACKOFF_MILLISECONDS_MAX,
    RETRY_WAIT_SECONDS_MAX,
    VENDOR_RETRIES_MAX,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HARMLESS = ("error", "unreachable", "closed")


def allowance(
    *, retries: int = 1, fallback: bool = False, waited: float = 0.0, left: float = 600.0
) -> Allowance:
    """What is left of the patience with a call."""
    return Allowance(retries=retries, has_fallback=fallback, waited=waited, seconds_left=left)


@pytest.mark.parametrize("end", HARMLESS)
def test_what_cost_nothing_is_sent_again_as_often_as_declared(end: AttemptEnd) -> None:
    setback = Setback(end=end)
    steps = [next_step(setback, allowance(retries=2), tries=tries, roll=0.5) for tries in (1, 2, 3)]
    assert [type(step) for step in steps] == [Again, Again, Stop]


@pytest.mark.parametrize("end", ["unanswered", "broken", "answered"])
def test_what_may_have_cost_something_is_never_sent_again_to_the_same_vendor(
    end: AttemptEnd,
) -> None:
    assert next_step(Setback(end=end), allowance(retries=5), tries=1, roll=0.0) == Stop()


def test_another_vendor_may_be_asked_after_doubt_and_when_one_is_not_called() -> None:
    ends: tuple[AttemptEnd, ...] = ("unanswered", "not_tried")
    for end in ends:
        assert next_step(Setback(end=end), allowance(fallback=True), tries=1, roll=0.0) == Over()


def test_with_a_fallback_nobody_waits_for_a_vendor_that_asks_to_come_back_later() -> None:
    asked = Setback(end="error", retry_after=2.0)
    assert next_step(asked, allowance(fallback=True), tries=1, roll=0.0) == Over()
    assert next_step(asked, allowance(), tries=1, roll=0.0) == Again(2.0)


def test_a_wait_that_is_too_long_is_left_to_the_caller() -> None:
    asked = Setback(end="error", retry_after=RETRY_WAIT_SECONDS_MAX + 1.0)
    assert next_step(asked, allowance(), tries=1, roll=0.0) == Stop()
    short = Setback(end="error", retry_after=3.0)
    assert next_step(short, allowance(waited=6.0), tries=1, roll=0.0) == Stop()
    assert next_step(short, allowance(left=2.0), tries=1, roll=0.0) == Stop()


def test_a_vendor_that_says_not_to_retry_is_believed() -> None:
    said = setback_of(429, {"x-should-retry": "false"}, NOW)
    assert said is not None
    assert next_step(said, allowance(), tries=1, roll=0.0) == Stop()
    assert next_step(said, allowance(fallback=True), tries=1, roll=0.0) == Over()


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 408, 409, 413, 422, 501])
def test_other_statuses_are_answers(status: int) -> None:
    assert setback_of(status, {}, NOW) is None


@pytest.mark.parametrize("status", sorted(RETRYABLE))
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:05 GMT"}, 5.0),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_a_wait_is_read_in_each_form_vendors_write(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    said = setback_of(status, headers, NOW)
    assert said is not None
    assert said.retry_after == seconds


@given(st.integers(min_value=1, max_value=VENDOR_RETRIES_MAX), st.floats(0, 1, exclude_max=True))
def test_the_wait_doubles_up_to_a_bound_and_is_never_the_same_for_all(
    tries: int, roll: float
) -> None:
    longest = min(RETRY_BACKOFF_MILLISECONDS * 2 ** (tries - 1), RETRY_BACKOFF_MILLISECONDS_MAX)
    assert longest / 2000 <= backoff(tries, roll) <= longest / 1000


@given(
    st.lists(
        st.tuples(
            st.sampled_from(get_args(AttemptEnd)),
            st.none() | st.floats(0, 20),
            st.booleans(),
            st.floats(0, 1, exclude_max=True),
        ),
        min_size=20,
        max_size=20,
    ),
    st.integers(0, VENDOR_RETRIES_MAX),
    st.booleans(),
)
def test_any_call_ends_within_its_bounds(
    ends: list[tuple[AttemptEnd, float | None, bool, float]], retries: int, fallback: bool
) -> None:
    """Goal: bounded attempts and waiting, and nothing doubtful sent twice to one vendor."""
    waited, tries, entries, sent = 0.0, 0, 1, 0
    for end, retry_after, final, roll in ends:
        tries, sent = tries + 1, sent + 1
        left = allowance(retries=retries, fallback=fallback and entries == 1, waited=waited)
        step = next_step(
            Setback(end=end, retry_after=retry_after, final=final), left, tries=tries, roll=roll
        )
        if isinstance(step, Stop):
            break
        if isinstance(step, Again):
            assert end in HARMLESS
            assert not final
            assert step.seconds >= 0
            waited += step.seconds
        else:
            entries, tries = entries + 1, 0
    else:
        pytest.fail("it never ended")
    assert entries <= 2 if fallback else entries == 1
    assert sent <= (1 + retries) * entries
    assert waited <= RETRY_WAIT_SECONDS_MAX + 1e-6
