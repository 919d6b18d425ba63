"""The folder that `quarterdeck init` writes: it loads, it works, and it overwrites nothing."""

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from quarterdeck.domain.errors import Conflict, Invalid
from quarterdeck.fleet import contracts, template
from quarterdeck.fleet.load import load, read_folder


def test_a_new_folder_loads_without_a_problem(tmp_path: Path) -> None:
    written = template.write(tmp_path / "new" / "fleet")
    assert all(file.is_file() for file in written)
    fleet = load(read_folder(tmp_path / "new" / "fleet"))
    assert list(fleet.agents) == ["assistant"]


def test_an_empty_folder_is_taken_and_any_other_is_left_as_it_is(tmp_path: Path) -> None:
    template.write(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    (tmp_path / "fleet.yaml").write_text("mine")
    before[tmp_path / "fleet.yaml"] = b"mine"
    with pytest.raises(Conflict, match="is not empty"):
        template.write(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(Invalid, match="is a file"):
        template.write(tmp_path / "x")


def test_every_yaml_file_names_the_schema_that_its_editor_finds_and_fits_it(tmp_path: Path) -> None:
    for file in template.write(tmp_path):
        if file.suffix != ".yaml":
            continue
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
        assert named, file
        schema = json.loads((file.parent / named[1]).read_text())
        jsonschema_rs.Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))


def test_the_vendors_in_the_comments_load_once_they_are_taken_out_of_them(tmp_path: Path) -> None:
    template.write(tmp_path)
    text = (tmp_path / "fleet.yaml").read_text()
    opened = re.sub(r"^  # (\w+:|  \w+: \S+)$", r"  \1", text, flags=re.MULTILINE)
    (tmp_path / "fleet.yaml").write_text(opened)
    agent = (tmp_path / "agents" / "assistant.yaml").read_text()
    for vendor, model in (
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("anthropic", "claude-haiku-4-5-20251001"),
    ):
        assert model in agent
        text = agent.replace("vendor: standin", f"vendor: {vendor}")
        text = text.replace("model: standin-1", f"model: {model}")
        (tmp_path / "agents" / "assistant.yaml").write_text(text)
        fleet = load(read_folder(tmp_path))
        entry = fleet.vendors[vendor]  # type: ignore[index]  # a literal name
        assert entry.secret is not None
        assert entry.prices[model].version.startswith("genai-prices ")


def test_the_function_of_the_new_folder_does_what_its_contract_says(tmp_path: Path) -> None:
    template.write(tmp_path)
    tool = load(read_folder(tmp_path)).tools["find_article"]  # type: ignore[index]  # a literal name
    assert tool.backend is not None
    assert tool.results is not None
    names: dict[str, object] = {}
    exec(compile(tool.backend.source, tool.backend.file, "exec"), names)
    function = names[tool.backend.function]
    assert callable(function)
    result = function(word="receipt")
    contracts.validator(tool.results).validate(result)
    assert len(result["articles"]) == 1
