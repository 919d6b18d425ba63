"""Confidence that means what it says: temperature, calibration error, and the cut.

Margins become probabilities by a softmax at one temperature, fitted on margins that models trained
without the example gave it (cross-fitting). The cut is chosen on the same held-out margins.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats: TypeAlias = NDArray[np.floating[Any]]
Flags: TypeAlias = NDArray[np.bool_]

NEVER: Final = 2.0  # a cut no confidence reaches: nothing is routed
BINS: Final = 15
_LOG_SHARPNESS_RANGE: Final = (-2.0, 5.0)


def probabilities(margins: Floats, sharpness: float) -> Floats:
    """Margins as probabilities; `sharpness` is one over the temperature."""
    raised = np.exp(sharpness * (margins - margins.max(axis=1, keepdims=True)))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def fit_sharpness(margins: Floats, right: NDArray[np.intp]) -> float:
    """The sharpness under which the right answers are the most likely."""
    rows = np.arange(len(right))

    def loss(log_sharpness: float) -> float:
        chances = probabilities(margins, float(np.exp(log_sharpness)))[rows, right]
        return float(-np.log(np.maximum(chances, 1e-12)).mean())

    best = minimize_scalar(loss, bounds=_LOG_SHARPNESS_RANGE, method="bounded")
    return float(np.exp(best.x))


def choose_cut(confidences: Floats, right: Flags, target: float) -> float:
    """The lowest confidence above which answers are right at the target rate.

    INVARIANT: of the answers given at or above the cut, at least `target` are right.
    """
    order = np.argsort(-confidences, kind="stable")
    ranked = confidences[order]
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # Equal confidences stand or fall together, so a cut may lie only after the last of them.
    last = np.append(ranked[1:] < ranked[:-1], True)
    reached = np.nonzero((precision >= target) & last)[0]
    return float(ranked[reached[-1]]) if len(reached) else NEVER


def calibration_error(confidences: Floats, right: Flags, bins: int = BINS) -> float:
    """Expected calibration error: how far confidence and truth lie apart, over equal-width bins."""
    places = np.minimum((confidences * bins).astype(int), bins - 1)
    total = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            total += float(abs(confidences[inside].mean() - right[inside].mean()) * inside.mean())
    return total
