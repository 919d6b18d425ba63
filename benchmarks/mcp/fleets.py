"""Fleet folders for the benchmarks: MCP servers, a contract for each of their tools, one agent."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.mcp.upstream import definitions
from quarterdeck.domain.definitions import hash_of

AGENT = """
name: clerk
owner: ann
team: desk
purpose: Is measured.
autonomy: L2
models: {main: {vendor: raw, model: bench-1}}
prompt: prompts/clerk.md
budgets: [{unit: usd, per: day, amount: "1000000"}]
tools: TOOLS
"""


def of_servers(urls: Mapping[str, str], tools: int, *, seconds: int = 60) -> dict[str, str]:
    """Every server with its tools, all of them granted to the one agent.

    With one server a tool has the name it has there; with more, the server's before it.
    """
    files: dict[str, str] = {}
    granted: list[str] = []
    for server, url in urls.items():
        files[f"servers/{server}.yaml"] = _said({"name": server, "protocol": "mcp", "url": url})
        for definition in definitions(tools):
            name = definition["name"] if len(urls) == 1 else f"{server}_{definition['name']}"
            granted.append(name)
            files[f"tools/{name}.yaml"] = _said(
                {
                    "name": name,
                    "description": definition["description"],
                    "arguments": definition["inputSchema"],
                    "effect": "read",
                    "timeout_seconds": seconds,
                    "mcp": {
                        "server": server,
                        "tool": definition["name"],
                        "pin": hash_of(definition),
                    },
                }
            )
    return files | {"agents/clerk.yaml": AGENT.replace("TOOLS", _said(granted))}


def _said(value: Mapping[str, Any] | Sequence[str]) -> str:
    return json.dumps(value)  # which is YAML, too
