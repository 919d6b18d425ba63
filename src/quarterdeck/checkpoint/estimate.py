"""Upper bounds of what an action may use, from the same price function that settles it."""

from typing import Final

from quarterdeck.domain.actions import Alternative, Tokens
from quarterdeck.domain.budgets import Bound
from quarterdeck.domain.money import Price, Usage
from quarterdeck.domain.tools import Tool

BYTES_PER_TOKEN: Final = 3
TOKENS_PER_SECOND: Final = 100  # what a vendor may have generated unseen; few are faster


def model_bound(price: Price, tokens: Tokens) -> Bound:
    """The most a model call may use: its bytes as input tokens, its cap as output."""
    return Bound(
        nanousd=price.bound_nanousd(input_max=tokens.input_max, output_max=tokens.output_max),
        tokens=tokens.input_max + tokens.output_max,
    )


def attempts_bound(price: Price, fallback: Alternative | None, tokens: Tokens) -> Bound:
    """The most all attempts may use: the dearest entry times the attempts that may cost anything.

    At one entry that is one: only what cost nothing is tried there again.
    """
    first = model_bound(price, tokens)
    if fallback is None:
        return first
    dearest = max(first.nanousd, model_bound(fallback.price, tokens).nanousd)
    return Bound(nanousd=2 * dearest, tokens=2 * first.tokens)


def tool_bound(tool: Tool) -> Bound:
    """A tool call costs what its contract says."""
    return Bound(nanousd=tool.cost_nanousd, tokens=0)


def estimated_usage(tokens: Tokens, *, answer_bytes: int) -> Usage:
    """Usage where the vendor reported none: about three bytes a token, never above the bound.

    Real text has three to five bytes a token, so this leans towards the vendor without charging the
    whole reservation for a stream that broke at its first word.
    """
    return Usage(
        input=min(tokens.input_max, -(-tokens.input_max // BYTES_PER_TOKEN)),
        output=min(tokens.output_max, -(-answer_bytes // BYTES_PER_TOKEN)),
    )


def unseen_usage(tokens: Tokens, *, milliseconds: int) -> Usage:
    """Usage of a call that was sent and never answered: it may have been at work all the time."""
    generated = milliseconds * TOKENS_PER_SECOND // 1000
    return Usage(
        input=estimated_usage(tokens, answer_bytes=0).input,
        output=min(tokens.output_max, generated),
    )
