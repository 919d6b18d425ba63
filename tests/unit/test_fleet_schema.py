"""The published schemas and the reference page say what the models say."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
import yaml
from pydantic import BaseModel

from quarterdeck.fleet import contracts, schema, template
from quarterdeck.fleet.schema import Entry, json_schemas

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference" / "fleet-folder.md"
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+) \|$")


def entries(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all it contains."""
    yield model
    for field in model.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from entries(part)


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


TEMPLATE = template.contents()
DOCUMENTS = {
    "fleet": TEMPLATE["fleet.yaml"],
    "agent": TEMPLATE["agents/assistant.yaml"],
    "tool": TEMPLATE["tools/find_article.yaml"],
    "server": "name: shop\nprotocol: mcp\nurl: https://shop.example.com/mcp\n",
}
ENTRIES = {model.__name__: model for top in schema.FILES.values() for model in entries(top)}


def section(model: type[BaseModel]) -> str:
    """The part of the reference page under the heading that names the entry."""
    anchor = f"<!-- {model.__name__} -->"
    page = REFERENCE.read_text()
    assert page.count(anchor) == 1, model.__name__
    return page.split(anchor)[1].split("<!-- ")[0]


def default_in_words(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None or value in ([], {}) or isinstance(value, Entry):
        return "none"
    return f"`{value}`"


@pytest.mark.parametrize("name", sorted(schema.FILES))
def test_the_published_schema_is_the_one_the_models_give(name: str) -> None:
    published = (ROOT / "schemas" / f"{name}.schema.json").read_text()
    assert published == template.schema_text(json_schemas()[name])


@pytest.mark.parametrize("name", sorted(schema.FILES))
def test_a_published_schema_is_itself_a_schema_and_refuses_unknown_fields(name: str) -> None:
    validator = jsonschema_rs.Draft202012Validator(json_schemas()[name])
    document = yaml.safe_load(DOCUMENTS[name])
    validator.validate(document)
    assert not validator.is_valid({**document, "unknown": 1})
    for field in schema.FILES[name].model_fields.values():
        if field.is_required():
            assert field.description


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/fleets/*/**/*.yaml")), ids=str)
def test_every_example_fits_the_schema_it_names(path: Path) -> None:
    if (
        not path.parent.name.startswith(("agents", "servers", "tools"))
        and path.name != "fleet.yaml"
    ):
        return
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
    assert named
    published = json.loads((path.parent / named[1]).read_text())
    jsonschema_rs.Draft202012Validator(published).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_every_field_has_a_description_and_a_model_has_one_too(name: str) -> None:
    assert ENTRIES[name].__doc__
    for field_name, field in ENTRIES[name].model_fields.items():
        assert field.description, field_name
        assert field.description.endswith("."), field_name
        if field.is_required():
            assert field.examples, f"{field_name}: what a hint would write"


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_the_reference_page_has_every_field_with_its_default_and_no_other(name: str) -> None:
    model = ENTRIES[name]
    rows = [match.groups() for line in section(model).splitlines() if (match := ROW.match(line))]
    assert [row[0] for row in rows] == list(model.model_fields)
    for field, _, default, meaning in rows:
        assert default == default_in_words(model, field), field
        assert meaning == model.model_fields[field].description, field


def test_the_page_documents_no_entry_that_does_not_exist() -> None:
    assert set(re.findall(r"<!-- (\w+) -->", REFERENCE.read_text())) == set(ENTRIES)


def test_the_tool_in_the_how_to_page_fits_its_schema() -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-fleet.md").read_text()
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "effect:" in b]
    tool = schema.ToolEntry.model_validate(yaml.safe_load(block))
    assert list(contracts.argument_faults(tool.arguments)) == []
