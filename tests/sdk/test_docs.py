"""The examples of the SDK's pages run as they stand."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import quarterdeck_sdk
from quarterdeck_sdk import errors, protocol, scope, tools
from tests.docs.terminals import ROOT, blocks
from tests.sdk.conftest import listed
from tests.serving import OWNER, Running

REFERENCE = ROOT / "docs" / "reference" / "python-sdk.md"


def python_of(page: Path) -> str:
    """All Python of a page, in order: a page is one program."""
    return "\n".join(b.text for b in blocks(page.read_text("utf-8")) if b.language == "python")


@pytest.mark.usefixtures("key")
async def test_the_readme_is_a_program_that_works(server: Running, tmp_path: Path) -> None:
    program = tmp_path / "readme.py"
    program.write_text(python_of(ROOT / "sdk" / "README.md"), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(sys.executable, str(program), env=os.environ)
    assert await process.wait() == 0
    [run] = await listed(server)
    assert (run["state"], run["actions"]) == ("succeeded", 1)


@pytest.mark.usefixtures("key")
async def test_the_references_examples_do_what_it_says(server: Running) -> None:
    said: dict[str, Any] = {}
    exec(compile(python_of(REFERENCE), str(REFERENCE), "exec"), said)
    run = await asyncio.to_thread(said["handle"], 7)
    shown = await server.house.services.runs.show(OWNER, run)
    assert (shown["state"], shown["result"]) == ("succeeded", {"ticket": 7})

    async with quarterdeck_sdk.run("clerk") as inside:
        assert await said["pay_once"](1, object()) == {"paid": 1}
        refunded = await asyncio.to_thread(said["refund_or_explain"], 2)
        refused = await asyncio.to_thread(said["refund_or_explain"], "two")
        assert inside.id in said["note_with_origin"]("Hello.")
    assert refunded == "refunded: {'paid': 2}"
    assert refused.startswith("not refunded: `pay` was refused: contract:arguments")


def test_the_reference_names_every_error_every_variable_and_the_times_as_they_are() -> None:
    text = REFERENCE.read_text("utf-8")
    for name in quarterdeck_sdk.__all__:
        thing = getattr(quarterdeck_sdk, name)
        if isinstance(thing, type) and issubclass(thing, errors.QuarterdeckError):
            assert f"`{name}`" in text or f"quarterdeck.{name}" in text, name
    for name in (scope.URL, scope.GATEWAY_URL, scope.AGENT_KEY, scope.RUN, scope.CREDENTIAL):
        assert f"`{name}`" in text
    assert (round(sum(protocol.ASKING)), round(sum(protocol.TELLING))) == (3, 30)
    assert tools.CLEARANCE_SECONDS == 5


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, errors.QuarterdeckError):
            assert name.startswith("_") or name in drawn, name
            assert name.startswith("_") or name in quarterdeck_sdk.__all__
