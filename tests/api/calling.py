"""The API of a house in this process, and clients that call it as somebody."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from quarterdeck.assembly import House, application, house
from quarterdeck.services.runs import StartedRun
from quarterdeck.settings import Settings
from tests.fleets import files
from tests.serving import OWNER


@dataclass(frozen=True, kw_only=True)
class Calling:
    """A house, its application, and its owner."""

    house: House
    app: Any
    owner: httpx2.AsyncClient

    def as_holder_of(self, token: str | None) -> httpx2.AsyncClient:
        """A client that shows this token; nothing if there is none."""
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)

    async def external_run(self, given: Mapping[str, Any] | None = None) -> StartedRun:
        """A run under way."""
        return await self.house.services.runs.start(
            OWNER, "clerk", dict(given or {}), kind="external"
        )


@contextlib.asynccontextmanager
async def calling(
    folder: Path,
    fleet: Mapping[str, bytes] | None = None,
    *,
    settings: Settings | None = None,
) -> AsyncIterator[Calling]:
    """The API with a fleet in force."""
    async with house(settings or Settings(folder=folder), role="all") as built:
        await built.services.changes.apply(OWNER, fleet or files())
        app = application(built)
        made = Calling(house=built, app=app, owner=httpx2.AsyncClient())
        async with made.as_holder_of(built.local_token) as owner:
            yield Calling(house=built, app=app, owner=owner)


def error_of(answer: httpx2.Response) -> dict[str, str]:
    """The error in an answer, after checking that it has the one shape."""
    body = answer.json()
    assert list(body) == ["error"], body
    assert list(body["error"]) == ["code", "message", "hint"], body
    assert all(isinstance(value, str) for value in body["error"].values()), body
    assert body["error"]["message"], body
    error: dict[str, str] = body["error"]
    return error
