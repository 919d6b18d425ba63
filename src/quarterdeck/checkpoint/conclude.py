"""Every branch of an admission, in one pure function."""

from typing import assert_never

from quarterdeck.checkpoint.clearance import Terms, clear
from quarterdeck.domain.actions import Action, Cleared, Held, Refused, Suggested
from quarterdeck.domain.budgets import Reservation, Shortfall, counts_rate, rate_end
from quarterdeck.domain.money import usd
from quarterdeck.domain.verdicts import Verdict, deny, strictest


def conclude(
    action: Action,
    verdict: Verdict,
    *,
    reserved: Reservation | Shortfall,
    terms: Terms | None,
    approval: str | None,
) -> Cleared | Refused | Held | Suggested:
    """What becomes of an action, given everything that was asked about it.

    Reserving comes before asking: nobody is asked to approve what cannot be paid.
    """
    if terms is None or isinstance(reserved, Shortfall):
        return Refused(action=action, verdict=strictest(verdict, obstacle(verdict, reserved)))
    match verdict.answer:
        case "deny":
            return Refused(action=action, verdict=verdict)
        case "suggest":
            return Suggested(action=action, verdict=verdict)
        case "ask" if approval is None:
            return Held(action=action, verdict=verdict)
        case "allow" | "redact" | "ask":
            return clear(action, verdict, reservation=reserved, terms=terms, approval=approval)
        case _:
            assert_never(verdict.answer)


def obstacle(verdict: Verdict, reserved: Reservation | Shortfall) -> Verdict:
    """Why an action without terms or room is denied; what is denied already needs no more."""
    if isinstance(reserved, Shortfall) and counts_rate(reserved.budget):
        return _too_often(reserved)
    if isinstance(reserved, Shortfall):
        return deny(f"budget:{reserved.budget}", _shortage(reserved))
    if verdict.answer == "deny":
        return verdict
    return deny("error:contract", "there is no contract to act under")


def _too_often(shortfall: Shortfall) -> Verdict:
    """Denied by a tool's rate, with the time from which it may be called again."""
    scope, _, period, _ = shortfall.budget.split("/")
    tool, _, agent = scope.removeprefix("tool:").partition("@")
    ends = rate_end(shortfall.budget)
    return deny(
        f"rate:tool:{tool}",
        f"`{agent}` may call `{tool}` {shortfall.cap} times per {period}, and has;"
        f" the next {period} begins at {ends:%Y-%m-%dT%H:%M}Z",
    )


def _shortage(shortfall: Shortfall) -> str:
    scope, unit, period, since = shortfall.budget.split("/")
    amounts = [shortfall.wanted, shortfall.cap, shortfall.charged, shortfall.held]
    if unit == "nanousd":
        wanted, cap, charged, held = (f"{usd(a)} USD" for a in amounts)
    else:
        wanted, cap, charged, held = (f"{a} {unit}" for a in amounts)
    return (
        f"may need up to {wanted}; the cap of {scope} per {period} is {cap},"
        f" of which {charged} is charged and {held} is held (since {since})"
    )
