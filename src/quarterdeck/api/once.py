"""Idempotency keys: `Idempotency-Key` makes a request happen once, however often it is sent."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

import orjson
from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from quarterdeck.api.callers import Callers, Identified
from quarterdeck.domain.limits import IDEMPOTENCY_KEY_CHARACTERS_MAX
from quarterdeck.services.replies import Once, Replayed, Replies, Reply

REPLAYED: Final = {"idempotency-replayed": "true"}
Key: TypeAlias = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=IDEMPOTENCY_KEY_CHARACTERS_MAX,
        pattern=r"^[!-~]+$",
        description="Makes a repeat harmless: it is answered as the first time, and changes"
        " nothing. Good for 24 hours, for the same request by the same caller.",
    ),
]

ServedOnce: TypeAlias = Callable[..., AsyncIterator[Once]]


@dataclass(frozen=True, slots=True)
class Repeats:
    """The dependency that routes ask for."""

    replies: Replies

    def of(self, callers: Callers) -> ServedOnce:
        """The way to serve a request once."""

        async def once(
            request: Request,
            identified: Annotated[Identified, Depends(callers.anybody)],
            idempotency_key: Key = None,
        ) -> AsyncIterator[Once]:
            asked = b"" if idempotency_key is None else await _written(request)
            async with self.replies.once(identified.caller, idempotency_key, asked) as served:
                yield served

        return once


async def _written(request: Request) -> bytes:
    """A request as far as it says what to do: however its JSON was laid out."""
    query = "&".join(
        sorted(f"{name}={value}" for name, value in request.query_params.multi_items())
    )
    body = await request.body()
    value = orjson.loads(body) if body else None
    line = f"{request.method} {request.url.path}?{query}\n"
    return line.encode() + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def reply_of(status: int, shown: BaseModel | None = None) -> Reply:
    """An answer as it is kept: the bytes that are sent."""
    body = b"" if shown is None else orjson.dumps(shown.model_dump(mode="json"))
    return Reply(status=status, body=body)


async def on_replayed(_: Request, answered: Exception) -> Response:
    """The first answer again."""
    assert isinstance(answered, Replayed)
    reply = answered.reply
    kind = "application/json" if reply.body else None
    return Response(reply.body, status_code=reply.status, headers=REPLAYED, media_type=kind)


def nothing(_: Any) -> Reply:
    """The answer of what has nothing to say."""
    return reply_of(204)
