"""What others wrote cannot steer a terminal; tables fit it; programs get plain columns."""

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.cli import render

HOSTILE = [
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b]0;owned\x07title", "title"),
    ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
    ("\x9b2Jgone", "gone"),
    ("a\x08\x7fb", "ab"),
    ("abc\u202egnp.exe", "abcgnp.exe"),
    ("zero\u200bwidth\ufeff", "zerowidth"),
    ("iso\u2066late\u2069", "isolate"),
    ("line\rover", "lineover"),
    ("tab\tand\nline", "tab and line"),
    ("para\u2029graph", "paragraph"),
    ("grüße 日本 🚀", "grüße 日本 🚀"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_hostile_text_is_shown_as_plain_text(text: str, shown: str) -> None:
    assert render.clean(text) == shown


@given(st.text())
def test_nothing_unprintable_is_left(text: str) -> None:
    kept = render.clean(text)
    assert "\x1b" not in kept
    assert "\n" not in kept
    assert kept == render.clean(kept), "cleaning again changes nothing"
    categories = {unicodedata.category(character) for character in kept}
    assert not categories & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@given(st.text())
def test_json_says_the_same_without_raw_controls(text: str) -> None:
    written: list[str] = []
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(render, "_write", written.append)
        render.print_json({"text": text})
    printed = "".join(written)
    assert json.loads(printed) == {"text": text}
    assert (
        re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", printed)
        is None
    )


def test_what_is_no_terminal_gets_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("run_1", "x" * 300), ("run_22", None)]
    render.table(("run", ">because"), rows, empty="none")
    assert capsys.readouterr().out.splitlines() == [
        "run     because",
        "run_1   " + "x" * 300,
        "run_22",
    ]


def test_an_empty_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(("run",), [], empty="No runs. Start one with: …")
    assert capsys.readouterr().out == "No runs. Start one with: …\n"


def test_markup_in_what_others_wrote_is_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    render.table(("name",), [("[bold]x[/bold] :smile: [link=http://evil]y[/link]",)], empty="")
    shown = capsys.readouterr().out
    assert "[bold]x[/bold] :smile: [link=http://evil]y[/link]" in shown
    assert "\x1b[3" not in shown, "no colour where NO_COLOR asks for none"


def test_a_narrow_terminal_gets_a_block_for_each_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "40")
    render.table(("run", ">USD"), [("run_1", "0.01")], empty="")
    assert capsys.readouterr().out == "run  run_1\nUSD  0.01\n\n"
