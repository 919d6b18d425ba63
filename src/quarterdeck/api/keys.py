"""Long-lived agent keys over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from quarterdeck.api.callers import Callers
from quarterdeck.api.wire import (
    LIMIT,
    Cursor,
    KeyAsked,
    Limit,
    Page,
    RotationAsked,
    Shown,
    StrictRoute,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.people import Caller
from quarterdeck.services.keys import OVERLAP_SECONDS_DEFAULT, IssuedKey, Keys


class KeyShown(Shown):
    """A key, without its secret; `hint` is how it ends."""

    id: str
    agent: str
    hint: str
    issued_at: str
    expires_at: str | None
    revoked_at: str | None
    rotated_to: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "KeyShown":
        """From a key's row."""
        return cls(
            id=row["id"],
            agent=row["agent"],
            hint=row["hint"],
            issued_at=moment(row["issued_at"]),
            expires_at=time_of(row["expires_at"]),
            revoked_at=time_of(row["revoked_at"]),
            rotated_to=row["rotated_to"],
        )


class KeyIssued(Shown):
    """A new key; `secret` is shown this once."""

    id: str
    agent: str
    secret: str
    expires_at: str | None


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
