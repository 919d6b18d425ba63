"""What the attempts of one model call cost: each its own usage at its own entry's price."""

from msgspec.structs import replace

from quarterdeck.checkpoint.estimate import unseen_usage
from quarterdeck.checkpoint.recording import Recorder
from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.domain.attempts import Attempt
from quarterdeck.domain.budgets import Bound
from quarterdeck.domain.money import Price, Usage, added
from quarterdeck.domain.tools import Tool


def used(cleared: Cleared, receipt: Receipt) -> Bound:
    """What to charge: nothing for a call not made; an estimate never passes its bound.

    Attempts were priced one by one, and what is estimated of them is within their bounds already.
    """
    if receipt.status == "not_attempted":
        return Bound(nanousd=0, tokens=0, calls=0)
    if isinstance(cleared.contract, Tool):
        # Whatever a back end says of it: a call that was made costs what its contract says, else
        # a cap in money would not bound how many are made.
        return Bound(nanousd=max(receipt.cost_nanousd, cleared.contract.cost_nanousd), tokens=0)
    tokens = 0 if receipt.usage is None else receipt.usage.total()
    cost = receipt.cost_nanousd
    if receipt.attempts:
        return Bound(nanousd=cost, tokens=tokens)
    if cleared.price is not None and receipt.usage is not None:
        cost = cleared.price.cost_nanousd(receipt.usage)
    if receipt.usage_source == "estimated":
        cost = min(cost, cleared.bound.nanousd)
        tokens = min(tokens, cleared.bound.tokens)
    return Bound(nanousd=cost, tokens=tokens)


async def recorded(recorder: Recorder, cleared: Cleared, receipt: Receipt) -> Receipt:
    """The receipt of several attempts: their sum, and each of them in its detail, redacted.

    One that was sent and never answered is charged as an estimate, and so is then the whole.
    """
    attempts = []
    for attempt in receipt.attempts:
        error = await recorder.redacted_text(cleared.action.team, attempt.error)
        attempts.append(replace(_priced(cleared, attempt), error=error))
    source = receipt.usage_source
    if any(attempt.estimated for attempt in attempts):
        source = "estimated"
    return replace(
        receipt,
        usage=added(attempt.usage.as_json() for attempt in attempts if attempt.usage is not None),
        usage_source=source,
        cost_nanousd=sum(attempt.cost_nanousd for attempt in attempts),
        detail=receipt.detail | {"attempts": [attempt.as_json() for attempt in attempts]},
        attempts=tuple(attempts),
    )


def _priced(cleared: Cleared, attempt: Attempt) -> Attempt:
    price = _price_of(cleared, attempt)
    if price is None:
        return attempt
    usage: Usage | None = attempt.usage
    if attempt.end == "unanswered" and usage is None and cleared.tokens is not None:
        usage = unseen_usage(cleared.tokens, milliseconds=attempt.took_ms)
        attempt = replace(attempt, usage=usage, estimated=True)
    if usage is None:
        return attempt
    # An error that tells no usage is no request that was served: it has no price of its own.
    cost = price.cost_nanousd(usage) if usage.total() else 0
    return replace(attempt, cost_nanousd=cost, price_version=price.version)


def _price_of(cleared: Cleared, attempt: Attempt) -> Price | None:
    second = cleared.fallback
    if second is not None and attempt.vendor == second.contract.name:
        return second.price
    return cleared.price
