"""Actions asked for by a program, over the data plane of a house in this process."""

from typing import Any

import httpx2

from quarterdeck.assembly import House, application


async def act(house: House, credential: str, tool: str) -> dict[str, Any]:
    """Ask for a tool as the holder of a run's credential; what was answered."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=application(house)),
        base_url="http://127.0.0.1",
        headers={"authorization": f"Bearer {credential}"},
    ) as client:
        answer = await client.post("/v1/actions", json={"tool": tool, "arguments": {"n": 1}})
        shown: dict[str, Any] = answer.json()
        return shown
