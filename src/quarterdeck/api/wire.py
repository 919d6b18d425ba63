"""What goes over the wire: how values are written, bodies that are sent, pages and failures.

Unknown fields are refused. Money is an integer in nano-USD with the same amount in USD as a string
beside it; times are ISO 8601 in UTC with microseconds and a `Z`.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar

import orjson
from fastapi import HTTPException, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from quarterdeck.api import cursors
from quarterdeck.domain import limits
from quarterdeck.domain.limits import (
    CURSOR_CHARACTERS_MAX,
    JSON_DEPTH_MAX,
    PAGE_ROWS_DEFAULT,
    PAGE_ROWS_MAX,
)
from quarterdeck.sources import datetime_of

ItemT = TypeVar("ItemT")
#: From an item to the keys its list is sorted by.
Place: TypeAlias = Callable[[ItemT], tuple[str, ...]]
ID_CHARACTERS_MAX: Final = 200
TEXT: Final = r"^[^\x00]*$"  # no database takes a NUL
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
NAME: Final = r"^[a-z][a-z0-9_-]{0,63}$"


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


def micros_of(written: datetime | None) -> int:
    """A time from the wire as it is stored; 0 if none was said."""
    return 0 if written is None else max(1, int(written.timestamp() * 1_000_000))


def whole(total: Any) -> int:
    """A sum as a database answers it: none over no rows, a decimal on PostgreSQL."""
    return int(total or 0)


class _StrictRequest(Request):
    """JSON as the rest of the system reads it: no NaN, no lone surrogates."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class StrictRoute(APIRoute):
    """A route that reads its body strictly, and refuses a query that it would not read."""

    def get_route_handler(self) -> Any:
        """The handler, given a stricter request."""
        handle = super().get_route_handler()
        known = frozenset(_query_names(self.dependant))

        async def strictly(request: Request) -> Response:
            _check_query(request, known)
            _check_kind(request)
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


def _query_names(dependant: Dependant) -> Iterator[str]:
    for param in dependant.query_params:
        yield param.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _check_query(request: Request, known: frozenset[str]) -> None:
    """A parameter that is passed over would widen a list in silence."""
    names = [name for name, _ in request.query_params.multi_items()]
    wrong = [("extra_forbidden", name) for name in names if name not in known]
    wrong += [("given_twice", name) for name in known if names.count(name) > 1]
    if wrong:
        raise RequestValidationError(
            [{"type": kind, "loc": ("query", name), "msg": kind} for kind, name in wrong]
        )


def _check_kind(request: Request) -> None:
    """A body of another type than JSON is refused before it is read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind != "application/json" and _has_body(request):
        raise HTTPException(415)


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


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


def _moment(written: Any) -> Any:
    """A number is a time to the library, and to nobody else."""
    if isinstance(written, str) and not _MOMENT.fullmatch(written):
        raise ValueError("write it as 2026-11-21T09:30:00Z")
    return written


def _whole(written: Any) -> Any:
    """`1.0` is a whole number in JSON."""
    is_whole = isinstance(written, float) and written.is_integer()
    return int(written) if is_whole else written


Name = Annotated[str, Field(pattern=NAME)]
WHOLE: Final = BeforeValidator(_whole)  # after the limits: else the description loses them
Words = Annotated[
    str, Field(max_length=2000, json_schema_extra={"pattern": TEXT}), AfterValidator(_plain)
]
Object = Annotated[dict[str, Any], AfterValidator(_shallow)]
Id = Annotated[str, Path(pattern=TEXT, min_length=1, max_length=ID_CHARACTERS_MAX)]
Limit = Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX, description="Items on a page.", examples=[20])]
Cursor = Annotated[
    str,
    Query(
        max_length=CURSOR_CHARACTERS_MAX,
        pattern=r"^[A-Za-z0-9_-]*$",
        description="`next` of the page before.",
    ),
]
Since = Annotated[
    AwareDatetime | None,
    BeforeValidator(_moment),
    Query(
        description="From this time on; ISO 8601 with a zone.", examples=["2026-11-21T00:00:00Z"]
    ),
]
Until = Annotated[
    AwareDatetime | None,
    BeforeValidator(_moment),
    Query(description="Before this time; ISO 8601 with a zone.", examples=["2026-11-22T00:00:00Z"]),
]
LIMIT: Final = PAGE_ROWS_DEFAULT


class Sent(BaseModel):
    """A body somebody sends. `"5"` and `true` are no numbers, `1` and `"yes"` are not true."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class KeyAsked(Sent):
    """A key to issue."""

    agent: Name
    days: Annotated[int, Field(ge=1, le=3660), WHOLE] | None = None


class RotationAsked(Sent):
    """How long the old key lives on."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400), WHOLE] | None = None


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


class AnswerAsked(Sent):
    """A person's answer to an approval; `digest` is that of the call they were shown."""

    answer: Literal["approve", "deny"]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    because: Words = ""


class DismissalAsked(Sent):
    """Why a suggestion is put aside."""

    because: Words = ""


class FleetAsked(Sent):
    """A fleet folder: its files by path, each in base64."""

    files: dict[str, str]


class SecretAsked(Sent):
    """The value of a secret; it goes in and never comes out."""

    value: Annotated[str, Field(pattern=r"\S", max_length=65_536, repr=False)]


class SecretRotationAsked(SecretAsked):
    """The new value of a secret, and how long the value of before may stand in for it."""

    overlap_seconds: (
        Annotated[int, Field(ge=0, le=limits.SECRET_OVERLAP_SECONDS_MAX), WHOLE] | None
    ) = None


class SignInAsked(Sent):
    """Where on the caller's own machine the answer of somebody who signs in comes back to."""

    redirect_uri: Annotated[str, Field(max_length=300, examples=["http://127.0.0.1:8765/callback"])]


class SignInAnswered(Sent):
    """The address that the browser was sent back to, whole."""

    url: Annotated[str, Field(max_length=8192, repr=False)]


class BackupAsked(Sent):
    """Where to put a backup: a new file on the server's machine."""

    file: Annotated[
        str,
        Field(pattern=r"^/[^\x00]*$", max_length=4096, examples=["/var/backups/quarterdeck.db"]),
    ]


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


def paged(
    request: Request, response: Response, items: list[ItemT], limit: int, place: Place[ItemT]
) -> Page[ItemT]:
    """A page of `limit` items; one more than that says that there is a next one.

    The same is in the `Link` header, for programs that walk lists of anybody.
    """
    if len(items) <= limit:
        return Page(items=items)
    cursor = cursors.write(*place(items[limit - 1]))
    following = request.url.include_query_params(cursor=cursor)
    response.headers["link"] = f'<{following.path}?{following.query}>; rel="next"'
    return Page(items=items[:limit], next=cursor)
