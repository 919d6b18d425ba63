"""A Pydantic AI agent whose tools are an MCP server's, reached through a gateway.

Its model and its tools are both where the environment says:

    quarterdeck exec assistant -- python mcp_agent.py [MODEL]
"""

import os
import sys

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

MODEL = sys.argv[1] if len(sys.argv) > 1 else "openai-chat:standin-1"

desk = MCPToolset(
    os.environ["QUARTERDECK_MCP_URL"],
    headers={"Authorization": f"Bearer {os.environ['QUARTERDECK_CREDENTIAL']}"},
)
agent = Agent(
    MODEL,
    instructions="Look orders up, and file a note about every late one.",
    toolsets=[desk],
)
print(agent.run_sync("Order 7 has not come. Is it late? If so, file a note.").output)
