"""Prices and pins: integers that agree with their sources, and ids that cannot drift."""

import subprocess
import sys
from decimal import Decimal

import pytest
from genai_prices import Usage as TableUsage
from genai_prices import calc_price

from quarterdeck.domain.money import NANOUSD_PER_USD, Usage
from quarterdeck.fleet import pins
from quarterdeck.fleet.prices import compiled, stated
from quarterdeck.fleet.schema.fleet import PriceEntry

FLAT = [
    ("openai", "gpt-4o-mini-2024-07-18"),
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-2024-05-13"),
    ("openai", "gpt-4.1-nano-2025-04-14"),
    ("openai", "gpt-5-2025-08-07"),
    ("openai", "o3-2025-04-16"),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc"),
    ("anthropic", "claude-haiku-4-5-20251001"),
    ("anthropic", "claude-3-5-haiku-20241022"),
    ("anthropic", "claude-opus-4-20250514"),
]


@pytest.mark.parametrize(("table", "model"), FLAT)
def test_a_compiled_price_charges_what_the_table_it_came_from_charges(
    table: str, model: str
) -> None:
    """Goal: integers lose nothing. Method: the price library itself as the oracle."""
    price = compiled(table, model)
    assert price is not None
    used = Usage(input=1234, cache_read=777, output=4321, reasoning=55)
    expected = calc_price(
        TableUsage(
            input_tokens=used.input + used.cache_read,
            cache_read_tokens=used.cache_read,
            output_tokens=used.output + used.reasoning,
        ),
        model,
        provider_id=table,
    ).total_price
    assert Decimal(price.cost_nanousd(used)) - expected * NANOUSD_PER_USD < 1
    assert Decimal(price.cost_nanousd(used)) >= expected * NANOUSD_PER_USD


def test_where_a_table_has_tiers_the_dearest_is_charged_and_the_stamp_says_so() -> None:
    price = compiled("anthropic", "claude-sonnet-4-5-20250929")
    assert price is not None
    long_context = calc_price(
        TableUsage(input_tokens=300_000, output_tokens=1000),
        "claude-sonnet-4-5-20250929",
        provider_id="anthropic",
    ).total_price
    cost = price.cost_nanousd(Usage(input=300_000, output=1000))
    assert cost == long_context * NANOUSD_PER_USD
    assert price.version.endswith("dearest tier")


@pytest.mark.parametrize("model", ["gpt-99-2031-01-01", "whisper-1", "text-embedding-3-small", ""])
def test_a_model_that_is_not_known_or_not_priced_both_ways_has_no_price(model: str) -> None:
    assert compiled("openai", model) is None


def test_a_stated_price_has_defaults_and_a_stamp_of_its_own() -> None:
    price = stated(PriceEntry.model_validate({"input": "0.15", "output": 0.6}))
    assert (price.input, price.output) == (150_000_000, 600_000_000)
    assert (price.cache_read, price.cache_write, price.reasoning) == (
        price.input,
        price.input,
        price.output,
    )
    dearer = stated(PriceEntry.model_validate({"input": "0.15", "output": "0.60", "request": 1}))
    assert dearer.request_nanousd == NANOUSD_PER_USD
    assert dearer.version != price.version
    free = stated(PriceEntry.model_validate({"input": 1, "output": 1, "cache_read": "0"}))
    assert free.cache_read == 0


def test_a_fleet_with_its_own_prices_never_loads_the_price_tables() -> None:
    code = (
        "import sys\n"
        "from quarterdeck.fleet import load, template\n"
        "files = {p: t.encode() for p, t in template.contents().items() if p[:7] != 'schemas'}\n"
        "load.load(files)\n"
        "sys.exit('genai_prices' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OPENAI, ANTHROPIC, OTHER = (
    "https://api.openai.com/v1",
    "https://API.anthropic.com",
    "http://127.0.0.1:8099/v1",
)


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4o-2024-08-06", OPENAI),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", OPENAI),
        ("gpt-4o-mini-audio-preview-2024-12-17", OPENAI),
        ("claude-sonnet-4-5-20250929", ANTHROPIC),
        ("gpt-4o", OTHER),
        ("llama-3.1-8b", OTHER),
        ("latest-news-7b", OTHER),
    ],
)
def test_an_id_of_one_version_is_pinned(model: str, base_url: str) -> None:
    assert pins.floating(model, base_url, ()) is None


@pytest.mark.parametrize(
    ("model", "base_url", "hint"),
    [
        ("gpt-4o", OPENAI, "write `gpt-4o-2024-08-06`"),
        ("gpt-4.1", OPENAI, "write `gpt-4.1-2025-04-14`"),
        ("gpt-4.1", "https://eu.api.openai.com/v1", "write `gpt-4.1-2025-04-14`"),
        ("claude-sonnet-4-5", ANTHROPIC, "write `claude-sonnet-4-5-20250929`"),
        ("chatgpt-4o-latest", OPENAI, "such as `gpt-4o-mini-2024-07-18`"),
        ("claude-3-7-sonnet-latest", ANTHROPIC, "write the id of one version"),
        ("gpt-5.7", OPENAI, "write the dated id"),
        ("gpt-4o-2024-13-45", OPENAI, "write the dated id"),
        ("gpt-4o-20240806123", OPENAI, "write the dated id"),
        ("llama:latest", OTHER, "`name:1.2`"),
        ("org/llama-LATEST", OTHER, "`name:1.2`"),
        ("latest", OTHER, "`name:1.2`"),
    ],
)
def test_a_floating_alias_is_refused_with_what_to_write_instead(
    model: str, base_url: str, hint: str
) -> None:
    why = pins.floating(model, base_url, ())
    assert why is not None
    assert hint in why[1]


def test_an_undated_id_can_be_declared_fixed_but_a_known_alias_and_latest_cannot() -> None:
    assert pins.floating("claude-opus-4-6", ANTHROPIC, ("claude-opus-4-6",)) is None
    assert pins.floating("claude-opus-4-6", ANTHROPIC, ()) is not None
    assert pins.floating("gpt-4o", OPENAI, ("gpt-4o",)) is not None
    assert pins.floating("gpt-5-chat-latest", OPENAI, ("gpt-5-chat-latest",)) is not None


@pytest.mark.parametrize("alias", pins.ALIASES)
def test_every_known_alias_is_answered_with_an_id_that_is_pinned_and_priced(alias: str) -> None:
    version = pins.ALIASES[alias]
    table = "anthropic" if alias.startswith("claude") else "openai"
    url = ANTHROPIC if table == "anthropic" else OPENAI
    assert pins.floating(version, url, ()) is None
    assert compiled(table, version) is not None
