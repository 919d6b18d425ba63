"""What is built for the browser: there, small, from locked packages, with its licences."""

import gzip
import json
import re

from quarterdeck.console.pages import versions
from tests.console.browser import BUILT, ROOT

FRONTEND = ROOT / "frontend"
# Compressed, as a proxy would send them: stated in docs/explanation/console.md.
KILOBYTES_MAX = {"console.js": 20, "plots.js": 27}


def test_scripts_are_built_and_small() -> None:
    for name, most in KILOBYTES_MAX.items():
        size = len(gzip.compress((BUILT.parent / name).read_bytes())) / 1000
        assert 5 < size <= most, f"{name}: {size:.1f} KB"


def test_the_documents_state_the_sizes() -> None:
    text = (ROOT / "docs" / "explanation" / "console.md").read_text(encoding="utf-8")
    for name in KILOBYTES_MAX:
        stated = re.search(rf"`{re.escape(name)}` \| (\d+) KB", text)
        assert stated is not None, name
        size = len(gzip.compress((BUILT.parent / name).read_bytes())) / 1000
        assert abs(int(stated[1]) - size) <= 1.5, f"{name} has {size:.1f} KB"


def test_pages_name_every_file_by_what_is_in_it() -> None:
    assert set(versions()) == {
        "console.css", "mark.svg", "built/console.js", "built/plots.js", "built/plots.css",
    }  # fmt: skip


def test_packages_are_locked_exactly_and_name_no_host() -> None:
    wanted = json.loads((FRONTEND / "package.json").read_text(encoding="utf-8"))
    text = (FRONTEND / "package-lock.json").read_text(encoding="utf-8")
    locked = json.loads(text)["packages"]
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert locked[f"node_modules/{name}"]["version"] == version
    assert "resolved" not in text
    assert "://" not in text
    for path, package in locked.items():
        assert not path or package["integrity"].startswith("sha512-"), path


def test_what_is_bundled_brings_its_licence() -> None:
    licences = (BUILT.parent / "licences.txt").read_text(encoding="utf-8")
    assert "htmx.org 4" in licences
    assert "uplot 1" in licences
    assert "Leon Sorokin" in licences
