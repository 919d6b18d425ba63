"""One table from our errors and outcomes to a vendor's status, code and words."""

from dataclasses import dataclass
from typing import Final

from quarterdeck.domain.actions import Held, InDoubt, Refused, Suggested
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.limits import BODY_BYTES_MAX

_STATUS: Final = {
    "invalid": 400,
    "unidentified": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "limit_exceeded": 429,
    "unavailable": 503,
    "corrupt": 500,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a client is told instead of an answer."""

    status: int
    code: str
    message: str
    action: str | None = None
    retry: bool = True


TOO_LARGE: Final = Failure(
    status=413,
    code="body_too_large",
    message=f"the request body is larger than {BODY_BYTES_MAX // 1024 // 1024} MiB",
    retry=False,
)


def of_error(error: QuarterdeckError, action: str | None = None) -> Failure:
    """An operating error as a client is told it."""
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    status = _STATUS[error.code]
    return Failure(
        status=status, code=error.code, message=message, action=action, retry=status >= 500
    )


def of_outcome(outcome: Refused | Held | Suggested | InDoubt) -> Failure:
    """A call that was not carried out: the rules that decided it, in words. Not to be retried."""
    if isinstance(outcome, InDoubt):
        return Failure(
            status=409,
            code="in_doubt",
            message=f"the call under this key is still open (action {outcome.action.id})",
            action=outcome.action.id,
            retry=False,
        )
    rules = "; ".join(f"{r.rule}: {r.because}" for r in outcome.verdict.reasons)
    budget = any(r.rule.startswith("budget:") for r in outcome.verdict.reasons)
    code = {Refused: "denied", Held: "approval_required", Suggested: "suggested"}[type(outcome)]
    return Failure(
        status=429 if budget else 403,
        code="budget_exceeded" if budget else code,
        message=f"{rules} (action {outcome.action.id})",
        action=outcome.action.id,
        retry=False,
    )
