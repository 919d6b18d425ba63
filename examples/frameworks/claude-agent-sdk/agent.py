"""An agent of the Claude Agent SDK. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL]
"""

import asyncio
import sys
from typing import Any

from claude_agent_sdk import (
    ClaudeAgentOptions,
    ResultMessage,
    create_sdk_mcp_server,
    query,
    tool,
)

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-2"


@tool("look_up_order", "Say where an order is.", {"order": int})
async def look_up_order(given: dict[str, Any]) -> dict[str, Any]:
    """Say where an order is."""
    text = f"order {given['order']}: left on Friday, due on Monday, not delivered"
    return {"content": [{"type": "text", "text": text}]}


@tool("file_note", "File a note about an order.", {"order": int, "text": str})
async def file_note(given: dict[str, Any]) -> dict[str, Any]:
    """File a note about an order."""
    text = f"filed: order {given['order']}: {given['text']}"
    return {"content": [{"type": "text", "text": text}]}


async def main() -> None:
    """Ask once; the bundled CLI calls the model and the tools."""
    options = ClaudeAgentOptions(
        model=MODEL,
        mcp_servers={"desk": create_sdk_mcp_server("desk", tools=[look_up_order, file_note])},
        tools=[],  # none of the CLI's own: no shell, no files
        allowed_tools=["mcp__desk__look_up_order", "mcp__desk__file_note"],
        setting_sources=[],
        env={
            # Everything else the CLI would call by itself: updates, telemetry, error reports.
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            # Tool search is a tool of the vendor's own: refused unless the fleet allows it.
            "ENABLE_TOOL_SEARCH": "false",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": MODEL,
        },
    )
    question = "Order 7 has not come. Is it late? If so, file a note."
    said = [message async for message in query(prompt=question, options=options)]
    ended = next(message for message in said if isinstance(message, ResultMessage))
    if ended.is_error:
        raise SystemExit(ended.result or ended.subtype)
    print(ended.result)


asyncio.run(main())
