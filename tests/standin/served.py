"""A stand-in that is being served to a test, and the folder of the example fleet."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import orjson

from quarterdeck_standin.app import StandIn

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / "examples" / "fleets" / "support-desk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A stand-in that is being served, and what it counted."""

    app: StandIn
    url: str

    async def usage(self) -> dict[str, Any]:
        """The totals over HTTP."""
        async with httpx2.AsyncClient(base_url=self.url) as http:
            response = await http.get("/standin/usage")
            usage: dict[str, Any] = orjson.loads(response.content)
        return usage

    async def counted(self, field: str, count: int) -> dict[str, Any]:
        """The totals as soon as a field has reached a count."""
        async with asyncio.timeout(5):
            while (usage := await self.usage())[field] < count:
                await asyncio.sleep(0.01)
        return usage


Serve: TypeAlias = Callable[[StandIn], Awaitable[Served]]
Play: TypeAlias = Callable[[dict[str, Any]], Awaitable[Served]]
