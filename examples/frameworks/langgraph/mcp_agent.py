"""A LangGraph agent whose tools are an MCP server's, reached through a gateway.

Its model and its tools are both where the environment says:

    quarterdeck exec assistant -- python mcp_agent.py [MODEL]
"""

import asyncio
import os
import sys

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_mcp_adapters.client import MultiServerMCPClient

MODEL = sys.argv[1] if len(sys.argv) > 1 else "openai:standin-1"


async def main() -> None:
    """Ask once; the adapter lists the server's tools and calls them."""
    servers = MultiServerMCPClient(
        {
            "desk": {
                "transport": "streamable_http",
                "url": os.environ["QUARTERDECK_MCP_URL"],
                "headers": {"Authorization": f"Bearer {os.environ['QUARTERDECK_CREDENTIAL']}"},
            }
        }
    )
    agent = create_agent(init_chat_model(MODEL), tools=await servers.get_tools())
    question = "Order 7 has not come. Is it late? If so, file a note."
    ended = await agent.ainvoke({"messages": [{"role": "user", "content": question}]})
    print(ended["messages"][-1].content)


asyncio.run(main())
