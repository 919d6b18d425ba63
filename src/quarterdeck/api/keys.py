"""Long-lived agent keys over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from quarterdeck.api import cursors
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.once import ServedOnce, nothing, reply_of
from quarterdeck.api.wire import (
    LIMIT,
    TEXT,
    Cursor,
    Id,
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
from quarterdeck.services.replies import Once


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


def routes(keys: Keys, callers: Callers, once: ServedOnce) -> APIRouter:
    """`/v1/keys`."""
    router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def list_keys(
        *,
        request: Request,
        response: Response,
        agent: Annotated[
            str | None, Query(pattern=TEXT, max_length=64, description="Only of this one.")
        ] = None,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[KeyShown]:
        """Keys without their secrets, newest first."""
        before = cursors.read(cursor)
        rows = await keys.list_all(caller, agent)
        items = [KeyShown.of(row) for row in rows if not before or row["id"] < before[0]]
        return paged(request, response, items, limit, lambda key: (key.id,))

    @router.post("", status_code=201, openapi_extra=who("keys"))
    async def issue_key(
        *,
        body: KeyAsked,
        caller: Annotated[Caller, Depends(callers.caller)],
        once: Annotated[Once, Depends(once)],
    ) -> KeyIssued:
        """A new key for an agent; the secret is in this answer and nowhere else."""
        answering = once.answering(lambda made: reply_of(201, _issued(made)))
        return _issued(await keys.issue(caller, body.agent, days=body.days, once=answering))

    @router.post("/{key}/rotate", status_code=201, openapi_extra=who("keys"))
    async def rotate_key(
        *,
        key: Id,
        body: RotationAsked | None = None,
        caller: Annotated[Caller, Depends(callers.caller)],
        once: Annotated[Once, Depends(once)],
    ) -> KeyIssued:
        """A new key beside the old one, which lives on for the overlap."""
        overlap = OVERLAP_SECONDS_DEFAULT
        if body is not None and body.overlap_seconds is not None:
            overlap = body.overlap_seconds
        answering = once.answering(lambda made: reply_of(201, _issued(made)))
        made = await keys.rotate(caller, key, overlap_seconds=overlap, once=answering)
        return _issued(made)

    @router.post("/{key}/revoke", status_code=204, openapi_extra=who("keys"))
    async def revoke_key(
        *,
        key: Id,
        caller: Annotated[Caller, Depends(callers.caller)],
        once: Annotated[Once, Depends(once)],
    ) -> None:
        """End a key now; doing it again changes nothing."""
        await keys.revoke(caller, key, once=once.answering(nothing))

    return router


def _issued(key: IssuedKey) -> KeyIssued:
    return KeyIssued(
        id=key.id, agent=key.agent, secret=key.secret, expires_at=time_of(key.expires_at)
    )
