"""The fleet folder that `quarterdeck init` writes: small, complete, with comments that teach.

The files lie under `folder/` as they are written; the JSON Schemas beside them come from the
models, so that an editor checks a new folder by the rules of the Quarterdeck that wrote it.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Final

from quarterdeck.domain.errors import Conflict, Invalid
from quarterdeck.fleet.problems import quoted
from quarterdeck.fleet.schema import json_schemas

FILES: Final = (
    "fleet.yaml",
    "agents/assistant.yaml",
    "tools/find_article.yaml",
    "tools/find_article.py",
    "prompts/assistant.md",
)


def contents() -> dict[str, str]:
    """The text of every file of a new fleet folder, by its path inside it."""
    folder = files(__name__) / "folder"
    texts = {path: (folder / path).read_text(encoding="utf-8") for path in FILES}
    for name, schema in json_schemas().items():
        texts[f"schemas/{name}.schema.json"] = schema_text(schema)
    return texts


def schema_text(schema: object) -> str:
    """A JSON Schema as it is published: indented, fields in the order they are documented."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(path: Path) -> tuple[Path, ...]:
    """Write a new fleet folder at `path` and return its files; only into an empty place."""
    if path.exists() and not path.is_dir():
        raise Invalid(f"{quoted(path)} is a file", hint="name a folder")
    if path.is_dir() and any(path.iterdir()):
        hint = "name an empty or a new folder; nothing was written"
        raise Conflict(f"the folder {quoted(path)} is not empty", hint=hint)
    written = []
    for name, text in contents().items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return tuple(written)
