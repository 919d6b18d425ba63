"""An agent of the Claude Agent SDK whose tools are an MCP server's, reached through a gateway.

Its model and its tools are both where the environment says:

    quarterdeck exec assistant -- python mcp_agent.py [MODEL]
"""

import asyncio
import os
import sys

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, query

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-2"


async def main() -> None:
    """Ask once; the bundled CLI lists the server's tools and calls them."""
    options = ClaudeAgentOptions(
        model=MODEL,
        mcp_servers={
            "desk": {
                "type": "http",
                "url": os.environ["QUARTERDECK_MCP_URL"],
                "headers": {"Authorization": f"Bearer {os.environ['QUARTERDECK_CREDENTIAL']}"},
            }
        },
        tools=[],  # none of the CLI's own: no shell, no files
        allowed_tools=["mcp__desk__look_up_order", "mcp__desk__file_note"],
        setting_sources=[],
        env={
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
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
