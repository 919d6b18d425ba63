"""Help: there at once, for every command, ending with an example that the parser accepts."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from tests.cli.commands import command

from quarterdeck.cli.main import app

SECONDS_MAX = 0.3
HEAVY = ("fastapi", "pydantic", "rich.table", "httpx2", "uvicorn", "aiohttp", "sqlite3", "psycopg")


def commands() -> Iterator[tuple[str, ...]]:
    """Every command by its words."""
    root = typer.main.get_command(app)
    for name, one in root.commands.items():  # type: ignore[attr-defined]
        if inner := getattr(one, "commands", None):
            yield from ((name, sub) for sub in inner)
        else:
            yield (name,)


@pytest.mark.parametrize("words", sorted(commands()), ids=" ".join)
def test_every_command_has_help_json_and_an_example(words: tuple[str, ...], tmp_path: Path) -> None:
    shown = command(*words, "--help", folder=tmp_path, env={"COLUMNS": "120"})
    assert shown.status == 0
    assert "--json" in shown.out
    example = shown.out.strip().splitlines()[-1]
    assert example.startswith("  Example:  quarterdeck "), shown.out
    example_words = shlex.split(example.removeprefix("  Example:  "))
    assert tuple(example_words[1 : 1 + len(words)]) == words
    assert list(tmp_path.iterdir()) == [], "help touches nothing"


def test_help_is_there_within_its_time(tmp_path: Path) -> None:
    """The best of five: what it takes, whatever else the machine does meanwhile."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        assert command("--help", folder=tmp_path).status == 0
        taken.append(time.perf_counter() - began)
    assert min(taken) <= SECONDS_MAX, taken


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    import subprocess
    import sys

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
