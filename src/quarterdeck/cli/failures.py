"""What went wrong, for people and for programs: two lines on stderr or one object, and a status."""

from collections.abc import Mapping
from typing import Final

from quarterdeck.cli import render
from quarterdeck.cli.options import Given
from quarterdeck.domain.errors import QuarterdeckError

NO: Final = 1  # the answer is no
STATUS: Final[Mapping[str, int]] = {
    "corrupt": NO,
    "internal": NO,
    "invalid": 2,
    "method_not_allowed": 2,
    "body_too_large": 2,
    "unavailable": 3,
    "limit_exceeded": 3,
    "unidentified": 4,
    "forbidden": 4,
    "not_found": 5,
    "conflict": 6,
    "precondition_failed": 6,
    "precondition_required": 2,
    "unsupported_media_type": 2,
}


class ApiFailure(QuarterdeckError):
    """An error the API answered, by its code."""

    def __init__(self, kind: str, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


def show(error: QuarterdeckError, given: Given) -> int:
    """Say what went wrong; returns the exit status."""
    kind = error.kind if isinstance(error, ApiFailure) else error.code
    if given.json:
        said = {"code": kind, "message": error.message, "hint": error.hint}
        render.print_json({"error": said})
    else:
        render.warn(f"error: {error.message}")
        if error.hint:
            render.warn(f"hint: {error.hint}")
    return STATUS.get(kind, NO)
