"""An agent of the OpenAI Agents SDK whose tools are an MCP server's, reached through a gateway.

Its model and its tools are both where the environment says:

    quarterdeck exec assistant -- python mcp_agent.py [MODEL]
"""

import asyncio
import os
import sys

from agents import Agent, Runner, set_default_openai_api, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-1"
set_tracing_disabled(True)
set_default_openai_api("chat_completions")


async def main() -> None:
    """Ask once; the SDK lists the server's tools and calls them."""
    desk = MCPServerStreamableHttp(
        {
            "url": os.environ["QUARTERDECK_MCP_URL"],
            "headers": {"Authorization": f"Bearer {os.environ['QUARTERDECK_CREDENTIAL']}"},
        },
        name="desk",
        client_session_timeout_seconds=30,
    )
    async with desk:
        agent = Agent(
            name="assistant",
            instructions="Look orders up, and file a note about every order that is late.",
            mcp_servers=[desk],
            model=MODEL,
        )
        ended = await Runner.run(agent, "Order 7 has not come. Is it late? If so, file a note.")
        print(ended.final_output)


asyncio.run(main())
