"""`GET /v1/healthz` of a process that serves no API: the same answer as of one that does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from quarterdeck.domain.errors import Unavailable
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.store.database import Database
from quarterdeck.store.health import check_alive


@dataclass(frozen=True, slots=True)
class Alive:
    """Answers load balancers; needs no credential and tells nothing else."""

    db: Database
    circuits: Callable[[], Mapping[str, int]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """200 if the database answers, 503 if not."""
        status = 200
        try:
            await check_alive(self.db)
            body: dict[str, Any] = {"status": "ok", "circuits": dict(self.circuits())}
        except Unavailable as error:
            status = 503
            body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(body)})
