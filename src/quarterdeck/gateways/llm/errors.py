"""One table from our errors and outcomes to a vendor's status, code and words."""

from dataclasses import dataclass
from math import ceil
from typing import Final

import structlog

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


_AWAY: Final = (
    "something this gateway needs is away (try again in a moment;"
    " what it is, `quarterdeck doctor` and the gateway's log say)"
)
_log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a client is told instead of an answer."""

    status: int
    code: str
    message: str
    action: str | None = None
    retry: bool = True
    retry_after: int | None = None


TOO_LARGE: Final = Failure(
    status=413,
    code="body_too_large",
    message=f"the request body is larger than {BODY_BYTES_MAX // 1024 // 1024} MiB",
    retry=False,
)


def of_error(error: QuarterdeckError, action: str | None = None) -> Failure:
    """An operating error as a client is told it."""
    status = _STATUS[error.code]
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    if status >= 500 and _names_a_place(error):
        _log.warning("not_answered", action=action, code=error.code, error=message)
        message = _AWAY
    return Failure(
        status=status, code=error.code, message=message, action=action, retry=status >= 500
    )


def _names_a_place(error: QuarterdeckError) -> bool:
    """Whether an error was made of another's words: a driver's name hosts, ports and paths."""
    said = error.message.lower()
    return error.__cause__ is not None or "database" in said or "postgresql" in said


def of_vendor(because: str, retry_after: float | None, action: str) -> Failure:
    """A vendor that gave no answer; one that is not even called says when to come back."""
    if retry_after is None:
        return Failure(status=502, code="upstream_unreachable", message=because, action=action)
    return Failure(
        status=503,
        code="upstream_unavailable",
        message=because,
        action=action,
        retry_after=max(1, ceil(retry_after)),
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
