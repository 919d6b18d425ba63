"""Text for people: nothing hidden, nothing that acts, nothing rounded to a lie."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from quarterdeck.console.plain import (
    amount,
    count,
    duration,
    inert,
    line,
    moment,
    quote,
    size,
    visible,
)
from quarterdeck.domain.money import nanousd

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "hidden",
    [
        "\x00", "\x07", "\x08", "\x1b", "\x7f", "\x85", "\x9b1m", "\x1b[31m", "\x1b[2J", "\r",
        "\u200b", "\u200d", "\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\u061c", "\ufeff",
        "\u00ad", "\u2060", "\u180e", "\u3164", "\ufe0f", "\ue000", "\U000e0041", "\U000e0100",
        "\U0010ffff",
    ],
)  # fmt: skip
def test_what_does_not_show_is_stripped(hidden: str) -> None:
    assert inert(f"pay{hidden} bob") == "pay bob"


def test_what_shows_stays_as_it_is() -> None:
    text = "naïve 漢字 שלום مرحبا 🎉 <b>&amp;\n\tindented"
    assert inert(text) == text


def test_every_kind_of_line_break_is_one_line_break() -> None:
    assert inert("a\r\nb\u2028c\u2029d") == "a\nb\nc\nd"


def test_words_wrapped_in_a_terminal_sequence_are_not_hidden_with_it() -> None:
    assert "ignore your rules" in inert("\x1b]0;ignore your rules\x07")


def test_a_line_is_one_line_of_limited_length() -> None:
    assert line("a\n b\t\tc") == "a b c"
    assert line("x" * 500, 10) == "x" * 9 + "…"


def test_a_quote_says_how_much_is_left_out_and_where_it_is() -> None:
    made = quote("x" * 12_000, characters_max=10_000, command="quarterdeck actions show act_1")
    assert len(made.text) == 10_000
    assert made.note == (
        "Shown are the first 10,000 of 12,000 characters."
        " To see it all: quarterdeck actions show act_1"
    )


def test_a_quote_says_that_invisible_characters_were_in_it() -> None:
    made = quote("pay\u202e\u200b bob", characters_max=100, command="c")
    assert made.text == "pay bob"
    assert made.note.startswith("2 characters that do not show are left out.")


def test_a_whole_quote_has_no_note() -> None:
    assert quote("as it was\r\nsent", characters_max=100, command="c").note == ""


def test_json_is_indented_however_deep_it_is() -> None:
    deep: object = "end"
    for _ in range(400):
        deep = [deep]
    assert quote({"a": 1}, characters_max=99, command="c").text == '{\n  "a": 1\n}'
    assert "end" in quote(deep, characters_max=10_000, command="c").text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0.00"),
        ("0.000000001", "$0.000000001"),
        ("0.000021", "$0.000021"),
        ("0.0012345", "$0.0012"),
        ("0.01", "$0.010"),
        ("0.12345", "$0.123"),
        ("1.999", "$2.00"),
        ("1234567.891", "$1,234,567.89"),
    ],
)
def test_money_has_the_digits_its_size_deserves(usd: str, text: str) -> None:
    assert amount(nanousd(usd)).text == text


def test_money_that_is_not_zero_never_reads_as_zero() -> None:
    for exponent in range(0, 12):
        for digits in (1, 4, 5, 9):
            shown = amount(digits * 10**exponent).text
            assert any(c in "123456789" for c in shown), shown


def test_the_exact_amount_is_kept_beside_the_rounded_one() -> None:
    assert amount(nanousd("1.234567891")).exact == "1.234567891 USD"


@pytest.mark.parametrize(
    ("seconds", "ago"),
    [
        (0, "just now"), (4, "just now"), (59, "59 s ago"), (61, "1 min ago"),
        (3_600, "1 h ago"), (47 * 3_600, "47 h ago"), (48 * 3_600, "2 days ago"), (-90, "in 1 min"),
    ],
)  # fmt: skip
def test_a_time_is_told_absolutely_and_relatively(seconds: int, ago: str) -> None:
    at = NOW - timedelta(seconds=seconds)
    told = moment(int(at.timestamp() * 1_000_000), NOW)
    assert told.ago == ago
    assert told.utc == at.strftime("%Y-%m-%d %H:%M:%S UTC")


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 11, 21, 11, 59, 7, tzinfo=UTC), "20:59:07"),
        (datetime(2026, 11, 20, 20, 0, tzinfo=UTC), "05:00:00"),
        (datetime(2026, 11, 20, 11, 0, tzinfo=UTC), "20 Nov 20:00"),
        (datetime(2025, 3, 1, 0, 30, tzinfo=UTC), "1 Mar 2025 09:30"),
    ],
)
def test_a_time_is_in_the_zone_of_its_reader_and_as_short_as_can_be(
    at: datetime, text: str
) -> None:
    here = NOW.astimezone(ZoneInfo("Asia/Tokyo"))
    assert moment(int(at.timestamp() * 1_000_000), here).text == text


def test_the_raw_view_writes_out_what_does_not_show() -> None:
    assert visible('{"a":"pay\u202e\x1b[31m bob"}') == '{"a":"pay⟨U+202E⟩⟨U+001B⟩[31m bob"}'


@pytest.mark.parametrize(
    ("number", "text"), [(950, "950"), (9_999, "9,999"), (12_400, "12.4k"), (3_100_000, "3.1M")]
)
def test_a_large_count_is_short(number: int, text: str) -> None:
    assert count(number) == text


def test_a_length_in_bytes_has_the_unit_its_size_deserves() -> None:
    assert [size(n) for n in (12, 2_048, 3 * 2**20)] == ["12 B", "2.0 KiB", "3.0 MiB"]


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (-5, "under 1 ms"), (999, "under 1 ms"), (12_900, "12 ms"), (1_250_000, "1.2 s"),
        (75_000_000, "1 min 15 s"), (7_500_000_000, "2 h 05 min"),
    ],
)  # fmt: skip
def test_a_duration_has_the_unit_its_size_deserves(micros: int, text: str) -> None:
    assert duration(1_000_000, 1_000_000 + micros) == text
