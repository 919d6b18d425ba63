"""A Semantic Kernel agent whose tools are an MCP server's, reached through a gateway.

Its model and its tools are both where the environment says:

    quarterdeck exec assistant -- python mcp_agent.py [MODEL]
"""

import asyncio
import os
import sys

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.connectors.mcp import MCPStreamableHttpPlugin

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-1"


async def main() -> None:
    """Ask once; the plug-in lists the server's tools and calls them."""
    desk = MCPStreamableHttpPlugin(
        name="desk",
        description="Orders.",
        url=os.environ["QUARTERDECK_MCP_URL"],
        headers={"Authorization": f"Bearer {os.environ['QUARTERDECK_CREDENTIAL']}"},
        load_prompts=False,
    )
    async with desk:
        agent = ChatCompletionAgent(
            service=OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI()),
            name="assistant",
            instructions="Look orders up, and file a note about every late one.",
            plugins=[desk],
        )
        print(await agent.get_response("Order 7 has not come. Is it late? If so, file a note."))


asyncio.run(main())
