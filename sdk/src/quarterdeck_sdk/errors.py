"""What can go wrong, as one tree; parents are what callers catch.

    QuarterdeckError
    ├── NotDone          the action was not carried out, and `reasons` say why
    │   ├── Refused      a rule denies it, or a budget has too little room
    │   ├── Held         a person must answer first
    │   └── Suggested    recorded as a suggestion
    ├── Lapsed           its clearance came too late to be used; not carried out
    ├── InDoubt          asked before under the same key, and nobody can say yet what came of it
    ├── FailedBefore     asked before under the same key, and it failed
    ├── Unsettled        carried out, but Quarterdeck could not be told; `result` is what came of it
    ├── Misconfigured    no server or no credential is named, or a function cannot be a tool
    ├── Unencodable      an argument is not JSON
    ├── Rejected         the server does not take what was sent; `code` is its stable word
    └── Unavailable      the server cannot be reached, or something it needs is away

Each text is fit to be shown to a model, which can then go on in another way.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that decided, and why."""

    rule: str
    because: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.because}"


class QuarterdeckError(Exception):
    """Anything this package raises."""


class NotDone(QuarterdeckError):
    """The action was not carried out."""

    outcome = "not done"

    def __init__(
        self, tool: str, action: str, reasons: tuple[Reason, ...], approval: str = ""
    ) -> None:
        said = "; ".join(str(reason) for reason in reasons)
        waits = f", approval {approval}" if approval else ""
        super().__init__(f"`{tool}` was {self.outcome}: {said} (action {action}{waits})")
        self.tool = tool
        self.action = action
        self.reasons = reasons
        self.approval = approval


class Refused(NotDone):
    """A rule denies the action, or a budget has too little room for it."""

    outcome = "refused"


class Held(NotDone):
    """A person must answer before the action may happen; `approval` is what they are asked.

    Once they have allowed it, the same call goes through: it need not name the approval.
    """

    outcome = "held until a person answers"


class Suggested(NotDone):
    """The action was recorded as a suggestion, and nothing was done."""

    outcome = "recorded as a suggestion and not done"


class _OfAction(QuarterdeckError):
    """An error about one action."""

    def __init__(self, message: str, action: str) -> None:
        super().__init__(f"{message} (action {action})")
        self.action = action


class Lapsed(_OfAction):
    """The clearance came too late to be used; the action was not carried out."""


class InDoubt(_OfAction):
    """The action was asked for before under this key, and its outcome is not known."""


class FailedBefore(_OfAction):
    """The action was asked for before under this key, and failed."""


class Unsettled(_OfAction):
    """The action was carried out, but Quarterdeck could not be told; it counts as in doubt."""

    def __init__(self, message: str, action: str, result: Any) -> None:
        super().__init__(message, action)
        self.result = result


class Misconfigured(QuarterdeckError):
    """Something is missing or cannot work, whatever the server says."""


class Unencodable(QuarterdeckError, TypeError):
    """An argument cannot be written as JSON."""


class Rejected(QuarterdeckError):
    """The server does not take what was sent."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} ({code}{f'; {hint}' if hint else ''})")
        self.status = status
        self.code = code
        self.hint = hint


class Unavailable(QuarterdeckError):
    """The server cannot be reached, or something it needs is away; nothing was carried out."""
