"""Destinations are compared in one spelling: what two readers could take differently is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.destinations import allowed, covers, fault_of, form_of

MAIL = "*@example.com"
HOOK = "https://*.example.com/hooks/*"
ALL = (MAIL, HOOK, "/exports/*", "C-*", "https://example.com")


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (MAIL, "ann@example.com"),
        (MAIL, "Ann.Lee+x@EXAMPLE.com"),
        (MAIL, "ann@example.com."),
        ("Ann <ann@example.com>", "Ann <ann@example.com>"),
        (HOOK, "https://a.example.com/hooks/1"),
        (HOOK, "HTTPS://A.Example.COM:443/hooks/a/b?x=1&y=2"),
        (HOOK, "https://a.b.example.com./hooks/x"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com:8443/*", "https://example.com:8443/a"),
        ("http://[::1]/", "http://[::1]/"),
        ("/exports/*", "/exports/2026/report.csv"),
        ("/exports/*", "/exports/a b.csv"),
        ("C-*", "C-123"),
        ("*.example.com", "shop.example.com"),
        ("DE89370400440532013000", "DE89370400440532013000"),
        ("Zürich", "Zürich"),
        ("*", "anything at all\x00"),
    ],
)
def test_what_a_pattern_covers(pattern: str, value: str) -> None:
    assert covers(pattern, value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ann@evil.com",
        "ann@example.com.evil.com",
        "ann@evil.com@example.com",
        "ann%evil.com@example.com",
        "evil.com!ann@example.com",
        "Ann <ann@example.com>",
        '"ann@evil.com"@example.com',
        "ann@example.com, eve@evil.com",
        "ann@example.com;eve@evil.com",
        "ann@example.com\nBcc: eve@evil.com",
        "ann@example.com\r",
        " ann@example.com",
        "ann@exаmple.com",  # noqa: RUF001  a Cyrillic letter is the point
        "ann@ｅxample.com",  # noqa: RUF001  a full-width letter is the point
        "ann@example。com",
        "ann@example..com",
        "ann@[127.0.0.1]",
        "-oQ/tmp@example.com",
        "@example.com",
        "mailto:ann@example.com",
        "*@example.com",
        "ann(comment)@example.com",
        "ann@example.com\u200b",
        "ann@example.com\u202e",
    ],
)
def test_a_mail_address_that_could_go_elsewhere_is_not_covered(value: str) -> None:
    assert not covers(MAIL, value)


@pytest.mark.parametrize(
    "value",
    [
        "https://example.com/hooks/1",
        "https://evilexample.com/hooks/1",
        "https://a.example.com.evil.com/hooks/1",
        "https://a.example.com@evil.com/hooks/1",
        "https://user:pass@a.example.com/hooks/1",
        "https://evil.com#@a.example.com/hooks/1",
        "https://evil.com\\@a.example.com/hooks/1",
        "https://a.example.com\\.evil.com/hooks/1",
        "https://evil.com/.a.example.com/hooks/1",
        "https://evil.com?.a.example.com/hooks/1",
        "https://a.example.com:8443/hooks/1",
        "http://a.example.com/hooks/1",
        "//a.example.com/hooks/1",
        "https:/a.example.com/hooks/1",
        "https:a.example.com/hooks/1",
        "https://a.example.com/hooks/../admin",
        "https://a.example.com/hooks/%2e%2e/admin",
        "https://a.example.com/hooks/%2E%2E%2Fadmin",
        "https://a.example.com/hooks/%252e%252e/admin",
        "https://a.example.com/hooks//x",
        "https://a.example.com/other/hooks/1",
        "https://a.example.com/hooks/1#x",
        "https://a.example.com/hooks/1 ",
        "https://a.example.com/ho\toks/1",
        "https://a%2eexample.com/hooks/1",
        "https://bücher.example.com/hooks/1",
        "https://a.example。com/hooks/1",
        "https://*.example.com/hooks/1",
        "https://a.example.com",
        "javascript:alert(1)//https://a.example.com/hooks/1",
    ],
)
def test_a_url_that_could_go_elsewhere_is_not_covered(value: str) -> None:
    assert not covers(HOOK, value)


@pytest.mark.parametrize(
    "value",
    [
        "/exports",
        "/exports/../etc/passwd",
        "/exports/./x",
        "/exports//x",
        "exports/x",
        "/exports/",
        "/exports/..",
        "/exports/%2e%2e/x",
        "/exports\\..\\x",
        "/exports/a\x00b",
        "/Exports/x",
    ],
)
def test_a_path_that_leads_elsewhere_is_not_covered(value: str) -> None:
    assert not covers("/exports/*", value)


@pytest.mark.parametrize(
    "value", ["C-", "c-1", "C-1/../2", "C-1 2", "C-1,C-2", "XC-1", "C-1\n", "C-é", "C-*?"]
)
def test_a_word_with_a_separator_is_not_covered(value: str) -> None:
    assert not covers("C-*", value)


def test_an_argument_may_be_a_list_and_each_of_it_counts() -> None:
    assert allowed(["ann@example.com", "bo@example.com"], (MAIL,))
    assert allowed([], (MAIL,))
    assert not allowed(["ann@example.com", "eve@evil.com"], (MAIL,))
    assert not allowed([["ann@example.com"]], (MAIL,))
    assert not allowed([None], (MAIL,))


@pytest.mark.parametrize("value", [None, True, 1.5, {"to": "ann@example.com"}])
def test_what_is_neither_text_nor_a_number_is_no_destination(value: object) -> None:
    assert not allowed(value, (*ALL, "True", "1.5", "None"))


def test_a_whole_number_is_compared_by_its_digits() -> None:
    assert allowed(4711, ("4711",))
    assert not allowed(4712, ("4711",))


def test_a_very_long_value_is_not_covered() -> None:
    assert not covers(MAIL, f"{'a' * 3000}@example.com")


@pytest.mark.parametrize(
    "pattern",
    [
        "https://*example.com/",
        "*@*example.com",
        "https://ex ample.com",
        "a@b@c",
        "/a/../b",
        "https://bücher.example/",
        "*example.com",
        "https://u:p@example.com",
        "*@",
    ],
)
def test_a_pattern_that_covers_nothing_or_too_much_is_a_fault(pattern: str) -> None:
    assert fault_of(pattern)


@pytest.mark.parametrize("pattern", [*ALL, "*", "*.example.com", "https://*/*", "10.0.0.*", "#x"])
def test_a_sound_pattern_has_no_fault(pattern: str) -> None:
    assert fault_of(pattern) is None


@given(st.text(max_size=40), st.sampled_from(ALL))
def test_any_text_is_answered(value: str, pattern: str) -> None:
    """It ends, and never covers what holds a line break, a blank in front or a control letter."""
    if covers(pattern, value):
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip()


@given(st.from_regex(r"[a-z]{1,8}@[a-z.]{1,12}\Z", fullmatch=True))
def test_a_mail_address_is_covered_exactly_if_its_host_is_the_pattern_s(value: str) -> None:
    host = value.partition("@")[2]
    assert covers(MAIL, value) == (host.removesuffix(".") == "example.com")


@given(st.text(alphabet="ab.*@/:-", min_size=1, max_size=12))
def test_a_pattern_without_a_fault_is_never_a_mistake_of_ours(pattern: str) -> None:
    assert form_of(pattern) in ("anything", "url", "mail", "path", "word")
    fault_of(pattern)
    covers(pattern, "a@b.a")
