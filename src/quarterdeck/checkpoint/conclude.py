"""Every branch of an admission, in one pure function."""

from typing import assert_never

from quarterdeck.checkpoint.clearance import Terms, clear
from quarterdeck.domain.actions import Action, Cleared, Held, Refused, Suggested
from quarterdeck.domain.budgets import Reservation, Shortfall
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
        return Refused(action=action, verdict=strictest(verdict, _obstacle(verdict, reserved)))
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


def _obstacle(verdict: Verdict, reserved: Reservation | Shortfall) -> Verdict:
    """Why an action without terms or room is denied; what is denied already needs no more."""
    if isinstance(reserved, Shortfall):
        return deny(f"budget:{reserved.budget}", _shortage(reserved))
    if verdict.answer == "deny":
        return verdict
    return deny("error:contract", "there is no contract to act under")


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
