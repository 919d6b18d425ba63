"""Money is integer nano-USD; a price is integer nano-USD per million units. No floats anywhere.

One nano-USD per token is too coarse (0.0375 USD per million tokens is 37.5 nano-USD per token), so
prices are kept per million and every cost is rounded up once, at the end.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final

import msgspec

from quarterdeck.domain.errors import Invalid

NANOUSD_PER_USD: Final = 1_000_000_000
UNITS_PER_PRICE: Final = 1_000_000


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a model call used, in disjoint buckets of tokens: they add up, nothing counts twice."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    def total(self) -> int:
        """All tokens, whatever they cost."""
        return self.input + self.cache_read + self.cache_write + self.output + self.reasoning

    def as_json(self) -> dict[str, int]:
        """The buckets that are not empty, by name."""
        found = {
            "input": self.input,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "output": self.output,
            "reasoning": self.reasoning,
        }
        return {name: tokens for name, tokens in found.items() if tokens}


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Nano-USD per million tokens of each bucket, and per request; `version` names the table."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request_nanousd: int = 0
    version: str

    def cost_nanousd(self, usage: Usage) -> int:
        """What the usage costs, rounded up to a whole nano-USD."""
        priced = (
            usage.input * self.input
            + usage.output * self.output
            + usage.cache_read * self.cache_read
            + usage.cache_write * self.cache_write
            + usage.reasoning * self.reasoning
        )
        return -(-priced // UNITS_PER_PRICE) + self.request_nanousd

    def bound_nanousd(self, *, input_max: int, output_max: int) -> int:
        """The most a call can cost: every token at the dearest bucket of its direction."""
        dearest_input = max(self.input, self.cache_read, self.cache_write)
        dearest_output = max(self.output, self.reasoning)
        priced = input_max * dearest_input + output_max * dearest_output
        return -(-priced // UNITS_PER_PRICE) + self.request_nanousd


def nanousd(usd: str | int | Decimal) -> int:
    """Nano-USD of an amount in USD, written as a decimal; rounded up."""
    wrong = Invalid(f"`{usd}` is not an amount in USD", hint="write a decimal such as 0.25")
    try:
        amount = Decimal(usd)
    except InvalidOperation as error:
        raise wrong from error
    if not amount.is_finite() or amount < 0:
        raise wrong
    return int((amount * NANOUSD_PER_USD).to_integral_value(ROUND_CEILING))


def usd(amount_nanousd: int) -> str:
    """An amount for people: at least two decimals, as many as it needs, no exponent."""
    whole, rest = divmod(abs(amount_nanousd), NANOUSD_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount_nanousd < 0 else ''}{whole}.{decimals}"


def added(usages: Iterable[Mapping[str, int]]) -> Usage:
    """The sum of usages, bucket by bucket."""
    names = Usage.__struct_fields__
    totals = dict.fromkeys(names, 0)
    for usage in usages:
        for name in names:
            totals[name] += usage.get(name, 0)
    return Usage(**totals)
