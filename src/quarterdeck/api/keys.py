"""Long-lived agent keys over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from quarterdeck.api.callers import Callers
from quarterdeck.api.shown import KeyIssued, KeyShown
from quarterdeck.api.wire import (
    LIMIT,
    Cursor,
    KeyAsked,
    Limit,
    Page,
    RotationAsked,
    StrictRoute,
    paged,
    time_of,
)
from quarterdeck.domain.people import Caller
from quarterdeck.services.keys import OVERLAP_SECONDS_DEFAULT, IssuedKey, Keys


def routes(keys: Keys, callers: Callers) -> APIRouter:
    """`/v1/keys`."""
    router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=StrictRoute)

    @router.get("")
    async def list_keys(
        *,
        agent: Annotated[str | None, Query(max_length=64)] = None,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[KeyShown]:
        """Keys without their secrets, newest first."""
        rows = [row for row in await keys.list_all(caller, agent) if row["id"] < (cursor or "~")]
        items = [KeyShown.of(row) for row in rows[:limit]]
        return paged(items, limit, items[-1].id if len(rows) > limit else None)

    @router.post("", status_code=201)
    async def issue_key(
        *, body: KeyAsked, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> KeyIssued:
        """A new key for an agent; the secret is in this answer and nowhere else."""
        return _issued(await keys.issue(caller, body.agent, days=body.days))

    @router.post("/{key}/rotate", status_code=201)
    async def rotate_key(
        *,
        key: str,
        body: RotationAsked | None = None,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> KeyIssued:
        """A new key beside the old one, which lives on for the overlap."""
        overlap = OVERLAP_SECONDS_DEFAULT
        if body is not None and body.overlap_seconds is not None:
            overlap = body.overlap_seconds
        return _issued(await keys.rotate(caller, key, overlap_seconds=overlap))

    @router.post("/{key}/revoke", status_code=204)
    async def revoke_key(*, key: str, caller: Annotated[Caller, Depends(callers.caller)]) -> None:
        """End a key now; doing it again changes nothing."""
        await keys.revoke(caller, key)

    return router


def _issued(key: IssuedKey) -> KeyIssued:
    return KeyIssued(
        id=key.id, agent=key.agent, secret=key.secret, expires_at=time_of(key.expires_at)
    )
