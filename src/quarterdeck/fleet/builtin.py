"""Tools that every fleet has without a file: granted by name like any other."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from quarterdeck.domain.ids import ToolName
from quarterdeck.domain.tools import Tool
from quarterdeck.fleet.revision import tool_digest

_ESCALATE_ARGUMENTS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "ticket": {
            "type": "string",
            "maxLength": 256,
            "description": "What is handed over: a ticket, a message, a record.",
        },
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 4000,
            "description": "Why a person should decide.",
        },
        "candidates": {
            "type": "array",
            "maxItems": 50,
            "description": "Answers that were considered, likeliest first.",
        },
    },
    "minProperties": 1,
    # Context differs from fleet to fleet; whatever is sent is shown to the person who decides.
    "additionalProperties": True,
}


def _escalate() -> Tool:
    tool = Tool(
        name=ToolName("escalate"),
        description="Hand this case to a person, with the reason and what was considered.",
        arguments=_ESCALATE_ARGUMENTS,
        results=None,
        effect="draft",
        trust="trusted",
        idempotent=True,
        reversible=None,
        repeatable=False,
        timeout_seconds=10,
        cost_nanousd=0,
        backend=None,
        digest="",
    )
    return replace(tool, digest=tool_digest(tool))


ESCALATE: Final = _escalate()
TOOLS: Final[Mapping[ToolName, Tool]] = {ESCALATE.name: ESCALATE}


def is_carried_out_here(tool: Tool) -> bool:
    """Whether a back end of ours carries it out; else only its agent's own process can."""
    return tool.backend is not None or tool.name in TOOLS
