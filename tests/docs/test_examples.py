"""What README and the tutorial tell a reader to type works as written, and prints what they show."""

from pathlib import Path

import pytest

from tests.docs.terminals import ROOT, Reader


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "commands_min"), [("README.md", 10), ("docs/tutorial/first-agent.md", 10)]
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
