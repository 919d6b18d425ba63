"""What README and the tutorial tell a reader to type works, and prints what they show."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from quarterdeck.domain.runs import RunFilters
from tests.docs.terminals import ROOT, Reader, blocks
from tests.fleets import files
from tests.serving import OWNER, running


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "commands_min"),
    [
        ("README.md", 10),
        ("docs/tutorial/first-agent.md", 10),
        ("docs/tutorial/bring-your-framework.md", 10),
        ("docs/how-to/approve-and-suggest.md", 15),
        ("docs/how-to/write-a-tool-contract.md", 12),
        ("docs/how-to/plan-then-execute.md", 8),
        ("docs/how-to/connect-an-http-api.md", 4),
        ("docs/how-to/connect-an-mcp-server.md", 10),
        ("docs/how-to/use-the-mcp-gateway.md", 7),
    ],
)
def test_the_examples_of_a_page_do_what_it_shows(
    page: str, commands_min: int, tmp_path: Path
) -> None:
    reader = Reader(tmp_path)
    try:
        typed = reader.follow((ROOT / page).read_text(encoding="utf-8"))
    finally:
        reader.close()
    assert typed >= commands_min, "a page whose examples are not found would pass"


@pytest.mark.parametrize(
    ("page", "right"),
    [
        ("```console\n$ echo one two\none   …\n```\n", True),
        ("```console\n$ echo one two\none three\n```\n", False),
        ("```console\n$ printf 'a\\nb\\nc\\n'\na\n…\nc\n```\n", True),
        ("```console\n$ printf 'a\\nb\\n'\nb\na\n```\n", False),
        ("```console\n$ echo run_77 on 1\nrun_7… on 1\n$ echo run_7…\nrun_7…\n```\n", True),
        ("```console\n$ echo run_7…\n```\n", False),
        ("```text note.txt\nold\n```\n```diff note.txt\n-old\n+new\n```\n", True),
        ("```text note.txt\nold\n```\n```diff note.txt\n-other\n+new\n```\n", False),
    ],
)
def test_a_page_is_read_strictly(page: str, *, right: bool, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        if right:
            reader.follow(page)
        else:
            with pytest.raises(AssertionError):
                reader.follow(page)
    finally:
        reader.close()


async def test_a_program_starts_and_ends_its_own_runs_as_the_how_to_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/govern-your-own-agent.md").read_text(encoding="utf-8")
    program = next(block.text for block in blocks(page) if block.language == "python")
    async with running(tmp_path, files()) as server:
        key = await server.house.services.keys.issue(OWNER, "clerk")
        program = program.replace("http://127.0.0.1:7700", server.url).replace(
            '"triage"', '"clerk"'
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env={**os.environ, "TRIAGE_KEY": key.secret}
        )
        assert await process.wait() == 0
        runs = await server.house.services.runs.list_page(OWNER, RunFilters(), rows=10)
    assert [(run["agent"], run["state"]) for run in runs] == [("clerk", "succeeded")]
    assert runs[0]["started_by"] == "agent:clerk"
