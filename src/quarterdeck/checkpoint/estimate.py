"""Upper bounds of what an action may use, from the same price function that settles it."""

from quarterdeck.domain.actions import Tokens
from quarterdeck.domain.budgets import Bound
from quarterdeck.domain.fleets import Tool
from quarterdeck.domain.money import Price, Usage


def model_bound(price: Price, tokens: Tokens) -> Bound:
    """The most a model call may use: input no longer than its bytes, output no longer than its cap."""
    return Bound(
        nanousd=price.bound_nanousd(input_max=tokens.input_max, output_max=tokens.output_max),
        tokens=tokens.input_max + tokens.output_max,
    )


def tool_bound(tool: Tool) -> Bound:
    """A tool call costs what its contract says."""
    return Bound(nanousd=tool.cost_nanousd, tokens=0)


def estimated_usage(tokens: Tokens, *, answer_bytes: int) -> Usage:
    """Usage where the vendor reported none: bytes as tokens, never above what was reserved."""
    return Usage(input=tokens.input_max, output=min(answer_bytes, tokens.output_max))
