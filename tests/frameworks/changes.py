"""An example made to ask before it files a note, by the change the how-to page shows for it."""

import re
from pathlib import Path
from typing import Final

from tests.frameworks.stage import EXAMPLES, ROOT

PAGE: Final = ROOT / "docs" / "how-to" / "use-a-framework.md"
_DIFF: Final = re.compile(r"^```diff ([\w/.-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def governed(example: str, folder: Path) -> Path:
    """A copy of an example with the page's changes made."""
    text = (EXAMPLES / example).read_text(encoding="utf-8")
    changes = [diff for path, diff in _DIFF.findall(PAGE.read_text("utf-8")) if path == example]
    assert changes, f"{PAGE.name} shows no change of {example}"
    for change in changes:
        for hunk in change.split(" …\n"):
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            assert text.count(before) == 1, f"{example} does not have once:\n{before}"
            text = text.replace(before, after)
    written = folder / "governed.py"
    written.write_text(text, encoding="utf-8")
    return written
