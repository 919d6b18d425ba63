"""The page about frameworks says what the tests do: the same frameworks, at the locked versions."""

import re
from pathlib import Path

import pytest

from tests.docs import pages
from tests.frameworks.changes import PAGE, governed
from tests.frameworks.stage import EXAMPLES, ROOT, python_of
from tests.frameworks.test_frameworks import STOPPING, TELLING

LOCKS = ROOT / "tests" / "frameworks" / "locks"
PACKAGES = {"pydantic-ai": "pydantic-ai-slim"}


def version(package: str, lock: str) -> str:
    """The pinned version of a package."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    assert found, package
    return found[1]


def test_every_example_has_a_row_with_the_version_that_is_locked() -> None:
    tried = {}
    for name, versions, *_ in pages.table(PAGE.read_text("utf-8"), "own error."):
        label = re.sub(r"[\[\]]|\(.*", "", name).lower().replace(" ", "-")
        tried[label.removesuffix("-sdk") if label.startswith("openai-agents") else label] = versions
    examples = {path.parent.name for path in EXAMPLES.glob("*/agent.py")}
    assert set(tried) == examples == {"openai", "anthropic", *STOPPING, *TELLING}
    pydantic_ai = (LOCKS / "pydantic-ai.lock").read_text("utf-8")
    for name, versions in tried.items():
        own = LOCKS / f"{name}.lock"
        lock = own.read_text("utf-8") if own.exists() else pydantic_ai
        assert versions.split(" ")[0] == version(PACKAGES.get(name, name), lock), name


def test_the_page_shows_how_a_tool_asks_first_in_every_example(tmp_path: Path) -> None:
    for path in EXAMPLES.glob("*/agent.py"):
        text = governed(f"{path.parent.name}/agent.py", tmp_path).read_text("utf-8")
        assert "@quarterdeck.tool" in text
        compile(text, str(path), "exec")


def test_an_environment_that_is_missing_fails_and_says_what_to_run() -> None:
    with pytest.raises(AssertionError, match="make test-frameworks"):
        python_of("nothing")


def test_no_example_knows_of_quarterdeck() -> None:
    for path in EXAMPLES.glob("*/agent.py"):
        text = path.read_text("utf-8").partition('"""\n\n')[2]
        assert "quarterdeck" not in text.lower(), path


def test_locks_name_no_host_and_pin_every_package_by_hash() -> None:
    locks = sorted(LOCKS.glob("*.lock"))
    assert [path.stem for path in locks] == sorted(path.stem for path in LOCKS.glob("*.in"))
    for path in locks:
        text = path.read_text("utf-8")
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")


def test_every_mcp_client_has_a_row_and_is_what_is_locked() -> None:
    rows = list(pages.table(PAGE.read_text("utf-8"), "marked `enforced`."))
    shown = {re.search(r"frameworks/([\w-]+/\w+\.py)", row[1])[1] for row in rows}  # type: ignore[index]  # each has a link
    examples = {*EXAMPLES.glob("*/mcp_agent.py"), EXAMPLES / "mcp" / "client.py"}
    assert shown == {str(path.relative_to(EXAMPLES)) for path in examples}
    said = " ".join(row[0] for row in rows)
    assert f"SDK {version('mcp', (ROOT / 'requirements.lock').read_text('utf-8'))}" in said
    langgraph = (LOCKS / "langgraph.lock").read_text("utf-8")
    assert f"adapters` {version('langchain-mcp-adapters', langgraph)}" in said
