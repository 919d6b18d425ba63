"""The kinds of calls of a soak: how often each comes, and how its action must end."""

from dataclasses import dataclass
from typing import Final

INPUT_NANOUSD, OUTPUT_NANOUSD = 150, 600  # a token, as the fleet's price says
TOOL_NANOUSD: Final = 2_000_000
MODEL_STEADY, MODEL_ROUGH = "steady-1", "rough-1"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of call.

    `charge`: `exact`, what the upstream told; `estimate`, more than nothing and marked as such;
    `doubt`, marked as an estimate, of nothing where an idle connection was taken to have closed;
    `nothing`; `tool`, the contract's cost; `early`, by whether it had reached the upstream.
    """

    weight: int
    model: str | None = None
    statuses: tuple[int, ...] = (200,)
    state: str = "done"
    charge: str = "exact"


#: Faults have a vendor entry of their own, with so many good calls that its circuit stays closed.
KINDS: Final = {
    "whole": Kind(weight=26, model=MODEL_STEADY),
    "stream": Kind(weight=22, model=MODEL_STEADY),
    "slow": Kind(weight=5, model=MODEL_STEADY),
    "hang_up": Kind(weight=6, model=MODEL_STEADY, state="failed", charge="estimate"),
    "early_hang_up": Kind(weight=3, model=MODEL_STEADY, state="failed", charge="early"),
    "rough_whole": Kind(weight=18, model=MODEL_ROUGH),
    "once_500": Kind(weight=3, model=MODEL_ROUGH),
    "always_500": Kind(
        weight=2, model=MODEL_ROUGH, statuses=(500,), state="failed", charge="nothing"
    ),
    "always_429": Kind(
        weight=2, model=MODEL_ROUGH, statuses=(429,), state="failed", charge="nothing"
    ),
    "reset": Kind(weight=2, model=MODEL_ROUGH, statuses=(502,), state="failed", charge="doubt"),
    "died": Kind(weight=1, model=MODEL_ROUGH, statuses=(502,), state="failed", charge="estimate"),
    "half": Kind(weight=3, model=MODEL_ROUGH, state="failed", charge="estimate"),
    "tool": Kind(weight=6, charge="tool"),
    "tool_again": Kind(weight=2, charge="tool"),
    "tool_failed": Kind(weight=1, state="failed", charge="tool"),
    "tool_refused": Kind(weight=2, statuses=(403,), state="refused", charge="nothing"),
}  # fmt: skip


def tokens_of(number: int) -> tuple[int, int]:
    """What the upstream tells for a call: its own for each, so that a mix-up shows."""
    return 100 + number % 50, 20 + number % 30


def cost_of(number: int) -> int:
    """What a call that was answered costs, in nano-USD."""
    told_input, told_output = tokens_of(number)
    return told_input * INPUT_NANOUSD + told_output * OUTPUT_NANOUSD
