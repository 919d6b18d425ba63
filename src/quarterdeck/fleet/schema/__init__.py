"""The files of a fleet folder as models: every field, its meaning, its bounds and its default.

Unknown fields are errors, nothing is converted silently, and a field without a description does
not pass the tests. What one file alone can show is checked here; what needs the rest of the folder
(a name that must exist, a price that must be known) is checked in `bind.py`.
"""

from collections.abc import Mapping
from typing import Any, Final

from quarterdeck.fleet.schema.agent import AgentEntry
from quarterdeck.fleet.schema.entry import BudgetEntry, Entry
from quarterdeck.fleet.schema.fleet import FleetEntry, VendorEntry
from quarterdeck.fleet.schema.server import ServerEntry
from quarterdeck.fleet.schema.tool import ToolEntry

__all__ = [
    "FILES",
    "AgentEntry",
    "BudgetEntry",
    "Entry",
    "FleetEntry",
    "ServerEntry",
    "ToolEntry",
    "VendorEntry",
    "json_schemas",
]

#: The published schemas, by the name of their file.
FILES: Final[Mapping[str, type[Entry]]] = {
    "fleet": FleetEntry,
    "agent": AgentEntry,
    "server": ServerEntry,
    "tool": ToolEntry,
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each kind of file, for editors and for publication."""
    schemas: dict[str, dict[str, Any]] = {}
    for name, model in FILES.items():
        generated = model.model_json_schema()
        schemas[name] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:quarterdeck:schema:{name}",
            **generated,
            "title": f"Quarterdeck {name} file",
        }
    return schemas
