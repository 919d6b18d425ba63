"""Operating errors: expected, named, and mapped once at each entrance.

QuarterdeckError
  Invalid         what was sent does not fit; the hint says what to send instead
  Unidentified    nobody we know sent this
  Forbidden       we know who sent this, and they may not
  NotFound        no such thing (or not for this caller: both read the same)
  Conflict        it contradicts something already recorded
    Overtaken     somebody changed it since the caller looked
  Unconditioned   an edit that does not say which state it is about
  LimitExceeded   a limit with a name would be passed
  Unavailable     something we need is away; trying again may help
  Corrupt         what is stored contradicts itself; a person must look
"""

from typing import ClassVar


class QuarterdeckError(Exception):
    """An expected failure: a stable `code`, a lower-case message, a hint that says what to do."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Invalid(QuarterdeckError):
    """What was sent does not fit."""

    code = "invalid"


class Unidentified(QuarterdeckError):
    """Nobody we know sent this."""

    code = "unidentified"


class Forbidden(QuarterdeckError):
    """The sender is known and may not."""

    code = "forbidden"


class NotFound(QuarterdeckError):
    """No such thing, or not for this caller."""

    code = "not_found"


class Conflict(QuarterdeckError):
    """It contradicts something already recorded."""

    code = "conflict"


class Overtaken(Conflict):
    """Somebody changed it since the caller looked."""

    code = "precondition_failed"


class Unconditioned(QuarterdeckError):
    """An edit that does not say which state it is about."""

    code = "precondition_required"


class LimitExceeded(QuarterdeckError):
    """A named limit would be passed."""

    code = "limit_exceeded"


class Unavailable(QuarterdeckError):
    """Something needed is away; trying again may help."""

    code = "unavailable"


class Corrupt(QuarterdeckError):
    """What is stored contradicts itself."""

    code = "corrupt"
