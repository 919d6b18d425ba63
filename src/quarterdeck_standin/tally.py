"""The stand-in's own count of what it did, against which charges are checked.

A request is answered, cancelled by its caller, or broken (an error, a cut). Tokens are counted for
answered requests alone: only those were told their usage in full.
"""

from collections import Counter
from typing import Any, Final, Literal, TypeAlias

from quarterdeck_standin.conversation import Usage

End: TypeAlias = Literal["answered", "cancelled", "broken"]
_FIELDS: Final = ("requests", "answered", "cancelled", "broken", "input_tokens", "output_tokens")
_NO_USAGE: Final = Usage()


class Tally:
    """Running totals, whole and by model."""

    def __init__(self) -> None:
        self._total: Counter[str] = Counter()
        self._models: dict[str, Counter[str]] = {}

    def end(self, model: str, end: End, usage: Usage = _NO_USAGE) -> None:
        """Count how one request ended. An unread model is counted in the totals only."""
        counted: dict[str, int] = {end: 1}
        if end == "answered":
            counted |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        self._count(model, counted)

    def begin(self) -> None:
        """Count a request as it arrives, before its model is known."""
        self._total["requests"] += 1

    def name(self, model: str) -> None:
        """Count an arrived request under the model it asks for."""
        self._models.setdefault(model, Counter())["requests"] += 1

    def reset(self) -> None:
        """Start again from nothing."""
        self._total.clear()
        self._models.clear()

    def totals(self) -> dict[str, Any]:
        """The totals as JSON."""
        by_model = {model: _fields(counts) for model, counts in sorted(self._models.items())}
        return _fields(self._total) | {"by_model": by_model}

    def _count(self, model: str, counted: dict[str, int]) -> None:
        self._total.update(counted)
        if model:
            self._models.setdefault(model, Counter()).update(counted)


def _fields(counts: Counter[str]) -> dict[str, int]:
    return {field: counts[field] for field in _FIELDS}
