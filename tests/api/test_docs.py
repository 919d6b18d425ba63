"""The reference names every route, every code and every command there is, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from quarterdeck.api.errors import STATUS
from quarterdeck.cli.main import app
from tests.api.calling import calling

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
UNLISTED = {("GET", "/v1/openapi.json")}
OPTIONAL = {("POST", "/v1/sign-in-links")}


async def test_the_reference_lists_every_route(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        paths = (await api.owner.get("/v1/openapi.json")).json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    text = (REFERENCE / "api.md").read_text()
    listed = {(m, p) for m, p in re.findall(r"`(GET|POST|PUT|DELETE) (/v1/[^`\s]+)`", text)}
    assert listed - UNLISTED == served | OPTIONAL


def test_the_reference_lists_every_code() -> None:
    text = (REFERENCE / "api.md").read_text()
    for code, status in STATUS.items():
        assert re.search(rf"\| {status} \| .*`{code}`", text), code


def _commands(group: Any, *above: str) -> Iterator[str]:
    """Every command below a group, by its words."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from _commands(one, *above, name)
        else:
            yield " ".join((*above, name))


def test_the_reference_lists_every_command() -> None:
    root = typer.main.get_command(app)
    there = set(_commands(root))
    headings = [
        line for line in (REFERENCE / "cli.md").read_text().splitlines() if line[:4] == "### "
    ]
    listed = set()
    for heading in headings:
        for words in re.findall(r"`quarterdeck ([a-z- ]+)", heading):
            listed.add(words.strip())
    assert {re.sub(r" -.*", "", words) for words in listed} == there
