"""Help: there at once, for every command, ending with an example that the parser accepts."""

import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from quarterdeck.cli.main import app
from quarterdeck.cli.options import Given
from tests.cli.commands import command

SECONDS_MAX = 0.3
HEAVY = ("fastapi", "pydantic", "rich.table", "httpx2", "uvicorn", "aiohttp", "sqlite3", "psycopg")


def commands() -> Iterator[tuple[str, ...]]:
    """Every command by its words."""
    yield from _below(typer.main.get_command(app), ())


def _below(one: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    inner = getattr(one, "commands", None)
    if inner is None:
        yield words
        return
    for name, sub in inner.items():
        yield from _below(sub, (*words, name))


@pytest.mark.parametrize("words", sorted(commands()), ids=" ".join)
def test_every_command_has_help_json_and_an_example(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], obj=Given(), env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    assert "--json" in shown.output
    example = shown.output.strip().splitlines()[-1]
    assert example.startswith("  Example:  quarterdeck "), shown.output
    example_words = shlex.split(example.removeprefix("  Example:  "))
    assert tuple(example_words[1 : 1 + len(words)]) == words


def test_help_takes_little_and_touches_nothing(tmp_path: Path) -> None:
    """Goal: `--help` in 0.3 s. Method: its own CPU time, whatever else the machine is doing."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert command("--help", folder=tmp_path).status == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) <= SECONDS_MAX, taken
    assert list(tmp_path.iterdir()) == []


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, quarterdeck.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not set(HEAVY) & set(loaded.stdout.split())


def test_the_first_help_fits_a_screen_and_names_every_noun(tmp_path: Path) -> None:
    shown = command("--help", folder=tmp_path)
    assert len(shown.out.splitlines()) < 50
    assert "..." not in shown.out.partition("Commands:")[2], "no description is cut off"
    for words in commands():
        assert f"\n  {words[0]} " in shown.out
