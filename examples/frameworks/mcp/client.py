"""A program of the `mcp` SDK that uses an MCP server's tools, reached through a gateway.

    quarterdeck exec assistant -- python client.py [VERSION]

VERSION is a revision of the protocol, for one who wants a certain one; else the SDK finds out.
"""

import asyncio
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

MODE = sys.argv[1] if len(sys.argv) > 1 else "auto"


async def main() -> None:
    """Look an order up, and file a note."""
    headers = {"Authorization": f"Bearer {os.environ['QUARTERDECK_CREDENTIAL']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(os.environ["QUARTERDECK_MCP_URL"], http_client=http)
        async with Client(transport, mode=MODE) as desk:
            tools = [tool.name for tool in (await desk.list_tools()).tools]
            print(f"tools: {', '.join(tools)}")
            for name, given in (
                ("look_up_order", {"order": 7}),
                ("file_note", {"order": 7, "text": "late since Monday"}),
            ):
                result = await desk.call_tool(name, given)
                print(" ".join(block.text for block in result.content))


asyncio.run(main())
