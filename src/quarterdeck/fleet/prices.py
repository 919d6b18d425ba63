"""Prices as integers: from the fleet file, else compiled from the genai-prices tables.

Where the tables know several prices for one bucket (long contexts, caches kept longer, audio) the
dearest is taken, so that a charge can be too high but never too low, and the version stamped on
each charge says so; `prices` in `fleet.yaml` states what is really paid. Only the two vendors
whose own hosts are called are looked up: the same model elsewhere has another price.
"""

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Any, Final

import rfc8785

from quarterdeck.domain.money import Price, nanousd
from quarterdeck.fleet.schema.fleet import PriceEntry

_BUCKETS: Final = {
    "input": ("input_mtok", "input_audio_mtok", "input_image_mtok"),
    "output": ("output_mtok", "output_audio_mtok", "output_image_mtok"),
    "cache_read": ("cache_read_mtok", "cache_audio_read_mtok", "cache_image_read_mtok"),
    "cache_write": ("cache_write_mtok", "cache_write_1h_mtok"),
}


def stated(entry: PriceEntry) -> Price:
    """The price a fleet file states, stamped with its own digest."""
    amounts = {
        "input": nanousd(entry.input),
        "output": nanousd(entry.output),
        "cache_read": nanousd(_or(entry.cache_read, entry.input)),
        "cache_write": nanousd(_or(entry.cache_write, entry.input)),
        "reasoning": nanousd(_or(entry.reasoning, entry.output)),
        "request_nanousd": nanousd(entry.request),
    }
    # Amounts go in as text: JSON's integers end at 2**53, nano-USD do not.
    text = rfc8785.dumps({name: str(amount) for name, amount in amounts.items()})
    stamp = hashlib.sha256(text).hexdigest()[:12]
    return Price(**amounts, version=f"fleet.yaml {stamp}")


@cache
def compiled(table: str, model: str) -> Price | None:
    """The price of a vendor's model from the tables, or nothing where it is not known."""
    # Reading the tables takes a quarter of a second, which a fleet with its own prices never pays.
    from importlib.metadata import version  # noqa: PLC0415 - needed with the tables only

    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - slow import, see above

    try:
        _, known = get_snapshot().find_provider_model(model, None, table, None)
    except LookupError:
        return None
    # Of prices that follow one another the newest stands: loading knows no date, on purpose.
    prices = known.prices[-1].prices if isinstance(known.prices, list) else known.prices
    buckets = {name: _amounts(prices, keys) for name, keys in _BUCKETS.items()}
    if not buckets["input"] or not buckets["output"]:
        return None
    several = any(len(amounts) > 1 for amounts in buckets.values())
    dearest = {name: max(amounts) for name, amounts in buckets.items() if amounts}
    return Price(
        input=nanousd(dearest["input"]),
        output=nanousd(dearest["output"]),
        cache_read=nanousd(dearest.get("cache_read", dearest["input"])),
        cache_write=nanousd(dearest.get("cache_write", dearest["input"])),
        reasoning=nanousd(dearest["output"]),
        version=f"genai-prices {version('genai-prices')}{', dearest tier' if several else ''}",
    )


def _amounts(prices: Any, keys: Iterable[str]) -> set[Decimal]:
    """Every price the table holds for a bucket, tiers included."""
    found: set[Decimal] = set()
    for key in keys:
        price = prices.__dict__.get(key)
        if isinstance(price, Decimal):
            found.add(price)
        elif price is not None:
            found |= {price.base, *(tier.price for tier in price.tiers)}
    return found


def _or(amount: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if amount is None else amount
