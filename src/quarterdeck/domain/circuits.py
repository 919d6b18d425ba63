"""Circuits: whether a vendor entry is called at all, from how its last calls went. Arithmetic.

Closed, calls pass and are counted in a sliding window; too many failures open it. Open, calls are
answered at once and nobody waits for what is dead. After a while it is half open: one call, the
probe, finds out for all the others. A caller who gives up tells nothing about a vendor.
"""

from typing import Literal, TypeAlias

import msgspec

from quarterdeck.domain.limits import (
    CIRCUIT_CALLS_MIN,
    CIRCUIT_FAILURE_PERCENT,
    CIRCUIT_OPEN_SECONDS,
    CIRCUIT_WINDOW_SECONDS,
    EFFECT_SECONDS_MAX,
)

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]
#: How a call went: the vendor answered, it failed, or the caller left before anybody knew.
Report: TypeAlias = Literal["answered", "failed", "unknown"]


class Closed(msgspec.Struct, frozen=True):
    """Calls pass. Counted are this window, and the one before it as far as it is not yet past."""

    began: float
    calls: int = 0
    failures: int = 0
    calls_before: int = 0
    failures_before: int = 0


class Open(msgspec.Struct, frozen=True):
    """No call passes before `until`."""

    until: float


class HalfOpen(msgspec.Struct, frozen=True):
    """One call is under way to find out; no other passes."""

    probed_at: float


Circuit: TypeAlias = Closed | Open | HalfOpen


class Blocked(msgspec.Struct, frozen=True):
    """The circuit lets nothing through; asking again makes sense after so many seconds."""

    retry_after: float


class Passage(msgspec.Struct, frozen=True):
    """The circuit lets a call through; as its probe, it decides for the others."""

    probe: bool


_CALL = Passage(probe=False)
_PROBE = Passage(probe=True)


def enter(circuit: Circuit, now: float) -> tuple[Circuit, Passage | Blocked]:
    """Whether a call may be made now, and the circuit afterwards."""
    if isinstance(circuit, Closed):
        return circuit, _CALL
    if isinstance(circuit, Open):
        if now < circuit.until:
            return circuit, Blocked(circuit.until - now)
        return HalfOpen(now), _PROBE
    # No call lasts that long: whoever had the probe will never say how it went.
    if now - circuit.probed_at > EFFECT_SECONDS_MAX:
        return HalfOpen(now), _PROBE
    return circuit, Blocked(1.0)


def told(circuit: Circuit, report: Report, now: float, *, probe: bool) -> Circuit:
    """The circuit after a call has ended. Once it is not closed, only its probe has a say."""
    if isinstance(circuit, Closed):
        return circuit if report == "unknown" else _counted(circuit, report, now)
    if isinstance(circuit, Open) or not probe:
        return circuit
    if report == "answered":
        return Closed(now)
    # A probe that was given up leaves its place to the next call, at once.
    return Open(now + CIRCUIT_OPEN_SECONDS if report == "failed" else now)


def state_of(circuit: Circuit) -> CircuitState:
    """The state, in a word."""
    if isinstance(circuit, Closed):
        return "closed"
    return "open" if isinstance(circuit, Open) else "half_open"


def _counted(circuit: Closed, report: Report, now: float) -> Circuit:
    current = _slid(circuit, now)
    failed = report == "failed"
    current = Closed(
        current.began,
        current.calls + 1,
        current.failures + failed,
        current.calls_before,
        current.failures_before,
    )
    # Only a failure can open it: an answer never makes things worse.
    return Open(now + CIRCUIT_OPEN_SECONDS) if failed and _is_bad(current, now) else current


def _slid(circuit: Closed, now: float) -> Closed:
    elapsed = now - circuit.began
    if elapsed < CIRCUIT_WINDOW_SECONDS:
        return circuit
    if elapsed < 2 * CIRCUIT_WINDOW_SECONDS:
        began = circuit.began + CIRCUIT_WINDOW_SECONDS
        return Closed(began, 0, 0, circuit.calls, circuit.failures)
    return Closed(now)


def _is_bad(circuit: Closed, now: float) -> bool:
    """Enough calls to tell, and too many of them failed; the window before counts in part."""
    share = 1 - (now - circuit.began) / CIRCUIT_WINDOW_SECONDS
    calls = circuit.calls + circuit.calls_before * share
    failures = circuit.failures + circuit.failures_before * share
    return calls >= CIRCUIT_CALLS_MIN and failures * 100 >= calls * CIRCUIT_FAILURE_PERCENT


class LineState(msgspec.Struct, frozen=True, kw_only=True):
    """What one process can say of one vendor entry: its circuit, calls under way, calls waiting."""

    vendor: str
    base_url: str
    circuit: CircuitState
    calls: int
    waiting: int
