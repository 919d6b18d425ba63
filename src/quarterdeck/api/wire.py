"""What goes over the wire: how values are written, bodies that are sent, pages and failures.

Unknown fields are refused. Money is an integer in nano-USD with the same amount in USD as a string
beside it; times are ISO 8601 in UTC with microseconds and a `Z`.
"""

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import orjson
from fastapi import Query, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from quarterdeck.domain.limits import JSON_DEPTH_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX
from quarterdeck.sources import datetime_of

ItemT = TypeVar("ItemT")
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


def time_of(micros: int | None) -> str | None:
    """A stored time as it is written on the wire."""
    if micros is None:
        return None
    return datetime_of(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(micros: int) -> str:
    """A time that is always there."""
    written = time_of(micros)
    assert written is not None
    return written


def whole(total: Any) -> int:
    """A sum as a database answers it: none over no rows, a decimal on PostgreSQL."""
    return int(total or 0)


class _StrictRequest(Request):
    """JSON as the rest of the system reads it: no NaN, no lone surrogates."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class StrictRoute(APIRoute):
    """A route whose body is read strictly."""

    def get_route_handler(self) -> Any:
        """The handler, given a stricter request."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


def _shallow(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Deeper JSON than this cannot be stored again."""
    level: list[Any] = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return value
    raise ValueError(f"is nested deeper than {JSON_DEPTH_MAX} levels")


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


Name = Annotated[str, Field(pattern=NAME)]
Words = Annotated[str, Field(max_length=2000), AfterValidator(_plain)]
Object = Annotated[dict[str, Any], AfterValidator(_shallow)]
Limit = Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX, description="items on a page")]
Cursor = Annotated[str, Query(max_length=100, description="`next` of the page before")]
LIMIT: Final = PAGE_ROWS_DEFAULT


class Sent(BaseModel):
    """A body somebody sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyAsked(Sent):
    """A key to issue."""

    agent: Name
    days: Annotated[int, Field(ge=1, le=3660)] | None = None


class RotationAsked(Sent):
    """How long the old key lives on."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] | None = None


class RunAsked(Sent):
    """A run to start."""

    agent: Name
    input: Object = Field(default_factory=dict)
    kind: Literal["runner", "external"] = "runner"
    wait: bool = False


class EndAsked(Sent):
    """How a run ended."""

    state: Literal["succeeded", "failed", "escalated", "cancelled"]
    because: Words = ""
    result: Annotated[dict[str, Any] | None, AfterValidator(_shallow)] = None


class FleetAsked(Sent):
    """A fleet folder: its files by path, each in base64."""

    files: dict[str, str]


class SecretAsked(Sent):
    """The value of a secret; it goes in and never comes out."""

    value: Annotated[str, Field(max_length=65_536, repr=False)]


class BackupAsked(Sent):
    """Where to put a backup: a new file on the server's machine."""

    file: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_plain)]


class Shown(BaseModel):
    """A noun as it is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Failure(Shown):
    """What went wrong."""

    code: str
    message: str
    hint: str


class FailureShown(Shown):
    """The one error shape."""

    error: Failure


class Page(Shown, Generic[ItemT]):
    """Part of a list; `next` asks for what follows, and is null at the end."""

    items: list[ItemT]
    next: str | None = None


def paged(items: list[ItemT], limit: int, cursor: str | None) -> Page[ItemT]:
    """A page; it has a next one only if it is full."""
    return Page(items=items, next=cursor if len(items) >= limit else None)
