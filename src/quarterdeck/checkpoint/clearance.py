"""The one place a Cleared is made, and the last look at it before the first byte leaves."""

import msgspec

from quarterdeck.domain.actions import Action, Alternative, Cleared, Contract, Tokens
from quarterdeck.domain.budgets import Bound, Reservation
from quarterdeck.domain.limits import CLEARANCE_SECONDS_MAX
from quarterdeck.domain.money import Price
from quarterdeck.domain.verdicts import Verdict


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a clearance is good for: contract, price and bound, at one epoch of one incarnation."""

    contract: Contract
    price: Price | None
    bound: Bound
    epoch: int
    incarnation: str
    now: int
    tokens: Tokens | None = None
    fallback: Alternative | None = None


def clear(
    action: Action,
    verdict: Verdict,
    *,
    reservation: Reservation,
    terms: Terms,
    approval: str | None,
) -> Cleared:
    """Evidence that this exact action may take effect, for a few seconds, at this epoch."""
    return Cleared(
        action=action,
        verdict=verdict,
        reservation=reservation,
        contract=terms.contract,
        bound=terms.bound,
        price=terms.price,
        approval=approval,
        epoch=terms.epoch,
        incarnation=terms.incarnation,
        not_after=terms.now + CLEARANCE_SECONDS_MAX * 1_000_000,
        tokens=terms.tokens,
        fallback=terms.fallback,
    )


def is_current(cleared: Cleared, *, now: int, epoch: int) -> bool:
    """Whether the effect may still begin: not too late, and nothing was frozen since."""
    return now <= cleared.not_after and may_go_on(cleared, epoch=epoch)


def may_go_on(cleared: Cleared, *, epoch: int) -> bool:
    """Whether an effect that has begun may make a further attempt: nothing was frozen since."""
    return epoch <= cleared.epoch
