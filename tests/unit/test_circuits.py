"""Circuits: what opens one, what closes it, and that only a probe decides until it is closed."""

from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.circuits import (
    Blocked,
    Circuit,
    Closed,
    HalfOpen,
    Open,
    Passage,
    Report,
    enter,
    state_of,
    told,
)
from quarterdeck.domain.limits import (
    CIRCUIT_CALLS_MIN,
    CIRCUIT_OPEN_SECONDS,
    CIRCUIT_WINDOW_SECONDS,
    EFFECT_SECONDS_MAX,
)


def after(*reports: Report, circuit: Circuit | None = None, now: float = 0.0) -> Circuit:
    """The circuit after calls that all ended at one moment."""
    found = circuit or Closed(now)
    for report in reports:
        found = told(found, report, now, probe=False)
    return found


def opened(now: float = 0.0) -> Open:
    """A circuit that has just opened."""
    found = after(*["failed"] * CIRCUIT_CALLS_MIN, now=now)
    assert isinstance(found, Open)
    return found


def test_too_few_calls_say_nothing() -> None:
    assert state_of(after(*["failed"] * (CIRCUIT_CALLS_MIN - 1))) == "closed"
    assert state_of(after(*["failed"] * CIRCUIT_CALLS_MIN)) == "open"


def test_half_of_many_calls_failing_opens_it_and_less_does_not() -> None:
    good, bad = ["answered"] * 10, ["failed"] * 10
    assert state_of(after(*good, *bad[:9])) == "closed"
    assert state_of(after(*good, *bad)) == "open"


def test_a_caller_that_left_says_nothing_of_the_vendor() -> None:
    assert after(*["unknown"] * 50) == Closed(0.0)


def test_what_failed_long_ago_is_forgotten() -> None:
    almost = after(*["failed"] * (CIRCUIT_CALLS_MIN - 1))
    assert state_of(after("failed", circuit=almost, now=CIRCUIT_WINDOW_SECONDS * 1.9)) == "closed"
    assert state_of(after("failed", circuit=almost, now=CIRCUIT_WINDOW_SECONDS / 2)) == "open"
    # On the edge of a window the one before still counts in full: no burst hides across it.
    assert state_of(after("failed", circuit=almost, now=CIRCUIT_WINDOW_SECONDS)) == "open"


def test_open_it_lets_nothing_pass_and_says_when_to_come_back() -> None:
    circuit, answer = enter(opened(now=100.0), 104.0)
    assert answer == Blocked(CIRCUIT_OPEN_SECONDS - 4.0)
    assert state_of(circuit) == "open"


def test_one_probe_passes_and_nobody_with_it() -> None:
    later = CIRCUIT_OPEN_SECONDS + 0.0
    probing, answer = enter(opened(), later)
    assert answer == Passage(probe=True)
    assert probing == HalfOpen(later)
    still, second = enter(probing, later + 1)
    assert isinstance(second, Blocked)
    assert still == probing


def test_a_probe_that_is_answered_closes_it_and_one_that_fails_opens_it_again() -> None:
    probing = HalfOpen(50.0)
    assert told(probing, "answered", 51.0, probe=True) == Closed(51.0)
    assert told(probing, "failed", 51.0, probe=True) == Open(51.0 + CIRCUIT_OPEN_SECONDS)


def test_a_probe_that_was_given_up_leaves_its_place_to_the_next_call() -> None:
    reopened = told(HalfOpen(50.0), "unknown", 51.0, probe=True)
    _, answer = enter(reopened, 51.0)
    assert answer == Passage(probe=True)


def test_a_probe_that_never_ends_holds_nobody_up_for_ever() -> None:
    _, answer = enter(HalfOpen(0.0), EFFECT_SECONDS_MAX + 1.0)
    assert answer == Passage(probe=True)


def test_calls_from_before_do_not_close_or_reopen_it() -> None:
    for circuit in (opened(), HalfOpen(1.0)):
        for report in ("answered", "failed", "unknown"):
            assert told(circuit, report, 2.0, probe=False) == circuit


EVENTS = st.lists(
    st.tuples(
        st.floats(min_value=0, max_value=20),
        st.sampled_from(["answered", "failed", "unknown"]),
        st.booleans(),
    ),
    max_size=120,
)


@given(EVENTS)
def test_whatever_happens_there_is_at_most_one_probe_and_it_never_stays_shut(
    events: list[tuple[float, Report, bool]],
) -> None:
    """Goal: never two probes, never a lasting refusal. Method: calls that end late or at once."""
    circuit: Circuit = Closed(0.0)
    now = 0.0
    under_way: list[tuple[Passage, Report]] = []
    for seconds, report, ends in events:
        now += seconds
        circuit, answer = enter(circuit, now)
        if isinstance(answer, Passage):
            under_way.append((answer, report))
        else:
            assert answer.retry_after > 0
            assert answer.retry_after <= CIRCUIT_OPEN_SECONDS + 1e-6
        if ends and under_way:
            passage, said = under_way.pop(0)
            circuit = told(circuit, said, now, probe=passage.probe)
        assert sum(passage.probe for passage, _ in under_way) <= 1
        assert (state_of(circuit) == "half_open") == any(p.probe for p, _ in under_way)
    _, answer = enter(circuit, now + EFFECT_SECONDS_MAX + CIRCUIT_OPEN_SECONDS + 1)
    assert isinstance(answer, Passage), "after long enough somebody is let through"


@given(st.lists(st.sampled_from(["answered", "unknown"]), max_size=200))
def test_without_a_failure_it_never_opens(reports: list[Report]) -> None:
    assert state_of(after(*reports)) == "closed"
