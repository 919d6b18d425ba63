"""A fleet folder in which an agent is granted everything an MCP server has, pinned as it is now."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import rfc8785
import yaml

MODERN: Final = "2026-07-28"
SERVER: Final = "fixture"
DEFINED_BY: Final = (
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
    "icons",
    "execution",
    "_meta",
)
TEMPLATE: Final = "test://template/{id}/data"
FLEET: Final = {
    "name": "conformance",
    "people": {"ann": {"name": "Ann", "role": "owner"}},
    "teams": {"desk": {"owner": "ann", "budgets": [{"unit": "usd", "per": "day", "amount": "5"}]}},
    "vendors": {
        "local": {
            "dialect": "openai",
            "base_url": "http://127.0.0.1:9/v1",
            "prices": {"small-1": {"input": "0.15", "output": "0.60"}},
        }
    },
}


async def asked(
    url: str, method: str, *, credential: str | None = None, **params: Any
) -> dict[str, Any]:
    """One request of the stateless era; its result as it came."""
    told = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "quarterdeck-tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": told}}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
    }
    if "name" in params:
        headers["mcp-name"] = params["name"]
    if credential is not None:
        headers["authorization"] = f"Bearer {credential}"
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(url, json=body, headers=headers)
    lines = [line[5:] for line in answer.text.splitlines() if line.startswith("data:")]
    messages = [json.loads(text) for text in (lines or [answer.text]) if text.strip()]
    answers = [message for message in messages if "id" in message]
    assert len(answers) == 1, f"{answer.status_code} {answer.text}"
    assert "result" in answers[0], answers[0]
    return dict(answers[0]["result"])


def pin(definition: Mapping[str, Any]) -> str:
    """The hash of what a server says of a tool."""
    members = {name: definition[name] for name in DEFINED_BY if name in definition}
    return "sha256:" + hashlib.sha256(rfc8785.dumps(members)).hexdigest()


async def granting_all(url: str, server: str = SERVER, agent: str = "clerk") -> dict[str, bytes]:
    """The folder's files: one server, a contract for each of its tools, one agent with them all."""
    tools = (await asked(url, "tools/list"))["tools"]
    resources = (await asked(url, "resources/list"))["resources"]
    prompts = (await asked(url, "prompts/list"))["prompts"]
    granted = {
        "resources": [*(resource["uri"] for resource in resources), TEMPLATE],
        "prompts": [prompt["name"] for prompt in prompts],
        "elicitation": True,
        "sampling": True,
    }
    files: dict[str, Any] = {
        "fleet.yaml": FLEET,
        f"servers/{server}.yaml": {"name": server, "protocol": "mcp", "url": url},
        f"agents/{agent}.yaml": {
            "name": agent,
            "owner": "ann",
            "team": "desk",
            "purpose": "Uses all there is.",
            "autonomy": "L2",
            "models": {"main": {"vendor": "local", "model": "small-1"}},
            "prompt": "prompts/clerk.md",
            "tools": [tool["name"] for tool in tools],
            "servers": {server: granted},
        },
    }
    for tool in tools:
        files[f"tools/{tool['name']}.yaml"] = contract(tool, server)
    written = {path: yaml.safe_dump(content).encode() for path, content in files.items()}
    return written | {"prompts/clerk.md": b"You are a clerk."}


def contract(definition: Mapping[str, Any], server: str) -> dict[str, Any]:
    """The least a contract says: what it takes is what the server says it takes."""
    return {
        "name": definition["name"],
        "description": definition["description"],
        "arguments": definition["inputSchema"],
        "effect": "read",
        "mcp": {"server": server, "tool": definition["name"], "pin": pin(definition)},
    }
