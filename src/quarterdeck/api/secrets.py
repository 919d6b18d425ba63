"""Secrets over HTTP: set, rotate, list by name, remove. There is no route that reads a value."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Path, Request, Response

from quarterdeck.api import cursors, etags
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.etags import IfMatch, IfNoneMatch
from quarterdeck.api.once import ServedOnce, nothing
from quarterdeck.api.wire import (
    LIMIT,
    Cursor,
    Limit,
    Page,
    SecretAsked,
    SecretRotationAsked,
    Shown,
    StrictRoute,
    moment,
    paged,
    time_of,
)
from quarterdeck.domain.people import Caller
from quarterdeck.services.replies import Once
from quarterdeck.services.secrets import Expected, Secrets

SecretName: TypeAlias = Annotated[
    str,
    Path(
        max_length=64, pattern=r"^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$", examples=["OPENAI_KEY"]
    ),
]


class SecretShown(Shown):
    """A secret's name; its value is never shown. `etag` is what an edit sends as `If-Match`.

    `before_until` is there while the value before a rotation may stand in for the new one.
    """

    name: str
    set_at: str
    set_by: str | None
    age_days: int
    before_until: str | None
    etag: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "SecretShown":
        """From what the service lists."""
        return cls(
            name=row["name"],
            set_at=moment(row["set_at"]),
            set_by=row["set_by"],
            age_days=row["age_days"],
            before_until=time_of(row["before_until"]),
            etag=etags.written(row["set_at"]),
        )


def routes(secrets: Secrets, callers: Callers, once: ServedOnce) -> APIRouter:
    """`/v1/secrets`."""
    router = APIRouter(prefix="/v1/secrets", tags=["secrets"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def list_secrets(
        *,
        request: Request,
        response: Response,
        limit: Limit = LIMIT,
        cursor: Cursor = "",
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> Page[SecretShown]:
        """Names, and when and by whom each was set."""
        after = cursors.read(cursor)
        rows = await secrets.list_names(caller)
        items = [SecretShown.of(row) for row in rows if not after or row["name"] > after[0]]
        return paged(request, response, items, limit, lambda secret: (secret.name,))

    @router.put("/{name}", status_code=204, openapi_extra=who("secrets"))
    async def set_secret(
        *,
        name: SecretName,
        body: SecretAsked,
        response: Response,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> None:
        """Set or replace a secret; with `If-Match` only the one the caller has seen."""
        expected = _expected(if_match, if_none_match)
        set_at = await secrets.put(caller, name, body.value, expected=expected)
        response.headers["etag"] = etags.written(set_at)

    @router.post("/{name}/rotate", status_code=204, openapi_extra=who("secrets"))
    async def rotate_secret(
        *,
        name: SecretName,
        body: SecretRotationAsked,
        caller: Annotated[Caller, Depends(callers.caller)],
        once: Annotated[Once, Depends(once)],
    ) -> None:
        """Replace a secret; the value of before stands in where the new one is not yet taken."""
        answering = once.answering(nothing)
        await secrets.rotate(
            caller, name, body.value, overlap_seconds=body.overlap_seconds, once=answering
        )

    @router.delete("/{name}", status_code=204, openapi_extra=who("secrets"))
    async def remove_secret(
        *,
        name: SecretName,
        if_match: IfMatch = None,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> None:
        """Forget a secret; with `If-Match` only the one the caller has seen."""
        await secrets.remove(caller, name, expected=_expected(if_match, None))

    return router


def _expected(if_match: str | None, if_none_match: str | None) -> Expected | None:
    """When the secret was set that an edit is about."""
    seen = etags.seen(if_match, if_none_match)
    if seen is None:
        return None
    return frozenset(int(tag) for tag in seen if tag.isdecimal()) or frozenset(
        (None,) if if_none_match else (-1,)
    )
