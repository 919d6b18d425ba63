"""An MCP server of two tools on standard input and output, in the standard library's Python.

The gateway starts it, from the bytes that were applied, and speaks to it; agents never do.
"""

import json
import sys
from typing import Any

ORDER = {"type": "integer", "minimum": 1}
TOOLS = [
    {
        "name": "look_up_order",
        "description": "Say where an order is.",
        "inputSchema": {"type": "object", "properties": {"order": ORDER}, "required": ["order"]},
    },
    {
        "name": "file_note",
        "description": "File a note about an order.",
        "inputSchema": {
            "type": "object",
            "properties": {"order": ORDER, "text": {"type": "string", "maxLength": 200}},
            "required": ["order", "text"],
        },
    },
]


def called(name: str, given: dict[str, Any]) -> str:
    """What a tool says."""
    if name == "look_up_order":
        return f"order {given['order']}: left on Friday, due on Monday, not delivered"
    return f"filed: order {given['order']}: {given['text']}"


def answered(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; nothing for one that is not known."""
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "desk", "version": "1.0.0"},
        }
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        text = called(params["name"], params["arguments"])
        return {"content": [{"type": "text", "text": text}], "isError": False}
    return {} if method == "ping" else None


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue  # a notification
    result = answered(message["method"], message.get("params", {}))
    told = {"result": result} if result is not None else {}
    if result is None:
        told = {"error": {"code": -32601, "message": "Method not found"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **told}), flush=True)
