"""`GET /v1/healthz` of a process that serves no API: whether its database answers."""

from dataclasses import dataclass

import orjson

from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.store import standing
from quarterdeck.store.database import Database


@dataclass(frozen=True, slots=True)
class Alive:
    """Answers load balancers; needs no credential and tells nothing else."""

    db: Database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """200 if the database answers, 503 if not."""
        status, said = 200, "ok"
        try:
            await self.db.read(standing.get)
        except QuarterdeckError:
            status, said = 503, "unavailable"
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps({"status": said})})
