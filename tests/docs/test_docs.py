"""The documents say what the code does: names, values, routes, commands, links."""

import ast
import re
import shlex
import textwrap
import tomllib
from collections import Counter
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from quarterdeck import settings
from quarterdeck.api import app as api
from quarterdeck.api import errors as api_errors
from quarterdeck.assembly import application
from quarterdeck.cli.main import app as cli
from quarterdeck.domain import limits
from quarterdeck.domain.dialects import ALLOWANCES
from quarterdeck.gateways.llm import errors as gateway_errors
from quarterdeck.gateways.routes import DataPlane
from tests.docs import pages
from tests.docs.terminals import ROOT, blocks
from tests.fleets import files
from tests.serving import running

PAGES = pages.paths()


def code(cell: str) -> str:
    """The first word in backticks of a cell."""
    found = re.search(r"`([^`]+)`", cell)
    return found[1] if found else ""


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = pages.read(path)
    for link in pages.links(text):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        found = (ROOT / path).parent / target if target else ROOT / path
        assert found.exists(), f"{path}: {link}"
        if anchor:
            known = pages.anchors(found.read_text(encoding="utf-8"))
            assert anchor in known, f"{path}: {link}; the page has {sorted(known)}"


def test_every_page_of_the_documents_is_reached_from_the_index() -> None:
    text = pages.read("docs/index.md")
    reached = {((ROOT / "docs") / link.partition("#")[0]).resolve() for link in pages.links(text)}
    for path in PAGES:
        if path.parts[0] == "docs" and path.name != "index.md":
            assert (ROOT / path).resolve() in reached, path


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_every_command_in_the_documents_exists_with_its_flags(path: Path) -> None:
    for written in pages.commands(pages.read(path)):
        problem = misread(written)
        assert problem is None, f"{path}: `{written}`: {problem}"


def misread(written: str) -> str | None:
    """What is wrong with a command line, by the program's own parser; nothing if it reads."""
    line = re.split(r" (?:<|>|&&|\|) ", written.split("  #")[0])[0]
    words = shlex.split(re.sub(r"[][]", "", line.replace("…", "x")))[1:]  # `[--port N]` in usage
    group: Any = typer.main.get_command(cli)
    flags = {name: option for option in group.params for name in option.opts}
    while words and words[0] in flags:
        words = words[1 if flags[words[0]].is_flag else 2 :]
    while hasattr(group, "commands"):
        if not words:
            return None  # the group itself is meant
        command = group.commands.get(words[0])
        if command is None:
            return f"there is no `{words[0]}` in `{group.name}`"
        group, words = command, words[1:]
    known = {name: option for option in group.params for name in option.opts} | {"--help": None}
    for word in words:
        if word == "--":
            break
        if word.startswith("--") and word.split("=")[0] not in known:
            return f"`{group.name}` has no `{word}`"
    return None


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert misread("quarterdeck runs list --agent triage") is None
    assert misread("quarterdeck --data d runs list") is None
    assert misread("quarterdeck freeze fleet") is not None
    assert misread("quarterdeck runs list --colour x") is not None


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", pages.read("Makefile"), re.MULTILINE))
    for path in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z]+)", pages.read(path), re.MULTILINE):
            assert target in targets, f"{path}: make {target}"


def test_limits_are_documented_with_their_values() -> None:
    rows = pages.tables(pages.read("docs/limits.md"))
    written = {code(name): int(value.replace(",", "")) for name, value, *_ in rows}
    real = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert written == real
    assert all(len(why.split()) >= 2 for *_, why in rows), "each with its argument"


def test_settings_are_documented() -> None:
    rows = pages.table(pages.read("docs/settings.md"), "A test compares this page with the code.")
    assert [code(name) for name, *_ in rows] == list(settings.NAMES)
    assert settings.SECRET_PREFIX in pages.read("docs/settings.md")
    defaults = {code(name): code(default) for name, _, default, _ in rows}
    assert defaults["QUARTERDECK_PORT"] == str(settings.Settings().port)
    assert defaults["QUARTERDECK_HOST"] == settings.Settings().host
    assert defaults["QUARTERDECK_DATA"] == str(settings.Settings().folder)


def test_no_word_is_explained_twice() -> None:
    rows = pages.tables(pages.read("docs/words.md"))
    words = Counter(word for row in rows for word in row[0].split(", "))
    assert len(words) > 60
    assert [word for word, count in words.items() if count > 1] == []
    for row in rows:
        assert len(row) == 2, row
        assert not row[1].endswith("."), f"{row[0]}: a sentence without its stop, as the others"


def test_dependencies_are_documented_as_they_are_declared() -> None:
    project = tomllib.loads(pages.read("pyproject.toml"))["project"]
    text = pages.read("docs/dependencies.md")
    groups = {
        "## At run time": project["dependencies"],
        "extra `[demo]`": project["optional-dependencies"]["demo"],
        "extra `[dev]`": project["optional-dependencies"]["dev"],
    }
    for heading, declared in groups.items():
        names = [re.split(r"[\[>=<~ ]", entry)[0] for entry in declared]
        assert [row[0] for row in pages.table(text, heading)] == names


def test_licences_are_those_the_packages_declare() -> None:
    for name, *_, licence in pages.tables(pages.read("docs/dependencies.md")):
        declared = metadata(name)
        fields = ("License-Expression", "License", "Classifier")
        said = [value for field in fields for value in declared.get_all(field) or ()]
        assert any(licence in one for one in said), f"{name}: {licence} is not in {said}"


async def test_every_route_is_documented_and_every_documented_route_exists(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        house = server.house
        plane = application(house)
        assert isinstance(plane, DataPlane)
        agents = {f"{method} {path}" for method, path in plane.endpoints}

        async def nobody(_: str) -> Any:
            raise AssertionError("no request is made here")

        links = house.sessions.one_time_link
        built = api.build(house.services, house.driving, nobody, make_link=links)
        people = {
            f"{method.upper()} {path}"
            for path, methods in built.openapi()["paths"].items()
            for method in methods
        }
    page = pages.read("docs/reference/routes.md")
    assert {code(row[0]) for row in pages.table(page, "## For agents")} == agents
    assert {code(row[0]) for row in pages.table(page, "## The API")} == people
    rows = pages.table(pages.read("docs/reference/api.md"), "## Routes")
    under_v1 = {route for route in agents if " /v1/" in route}
    assert {code(row[0]) for row in rows} == people | under_v1


def test_what_a_vendor_may_be_allowed_is_documented() -> None:
    rows = pages.table(pages.read("docs/reference/routes.md"), "### What is refused by default")
    assert [code(row[0]) for row in rows] == list(ALLOWANCES)


def test_error_codes_are_documented_with_their_status() -> None:
    rows = pages.table(pages.read("docs/reference/api.md"), "## What goes wrong")
    found = {name: int(row[0]) for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert found == api_errors.STATUS
    page = pages.read("docs/reference/routes.md")
    written = {code(row[0]): int(row[1]) for row in pages.table(page, "<!-- gateway -->")}
    operating = gateway_errors._STATUS
    assert {name: written.get(name) for name in operating} == operating
    source = Path(gateway_errors.__file__).read_text(encoding="utf-8")
    source += (Path(gateway_errors.__file__).parent / "exchange.py").read_text(encoding="utf-8")
    for name in written.keys() - operating.keys():
        assert f'"{name}"' in source, f"`{name}` is no code of the gateway"


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_examples_can_be_read_by_what_they_are_for(path: Path) -> None:
    for block in blocks(pages.read(path)):
        text = textwrap.dedent(block.text)
        if block.language == "python":
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(text, f"{path}:{block.line}", "exec", flags=flags | ast.PyCF_ONLY_AST)
        elif block.language == "yaml":
            yaml.safe_load(text)


def test_no_page_names_a_figure_of_speed_that_only_benchmarks_may_state() -> None:
    for path in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        found = re.findall(r"\d[\d,.]* ?(?:ms|µs|requests/s|per second)\b", pages.read(path))
        assert found == [], f"{path}: {found}"
