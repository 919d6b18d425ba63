"""`GET models`: what the calling agent may use, in its vendor's shape. Nothing is called."""

from dataclasses import dataclass
from typing import Any

import orjson

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.stages import check_run
from quarterdeck.domain.dialects import SPOKEN
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.fleets import Dialect, takes
from quarterdeck.gateways.llm import errors, headers
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.gateways.llm.errors import Failure
from quarterdeck.gateways.llm.exchange import fail
from quarterdeck.sources import Clock
from quarterdeck.store import runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList:
    """Lists models, or shows one when the path goes on."""

    dialect: Dialect
    checkpoint: Checkpoint
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        wire = SPOKEN[self.dialect]
        try:
            names = await self._names(headers.credential_of(scope))
        except QuarterdeckError as error:
            await fail(send, wire, errors.of_error(error))
            return
        wanted = (scope.get("path_params") or {}).get("model")
        if wanted is None:
            await _answer(send, _listed(self.dialect, [_model(self.dialect, n) for n in names]))
        elif wanted in names:
            await _answer(send, _model(self.dialect, wanted))
        else:
            missing = Failure(status=404, code="not_found", message=f"no model `{wanted[:200]}`")
            await fail(send, wire, missing)

    async def _names(self, credential: str) -> list[str]:
        identity = await self.checkpoint.identify(credential)
        row = await self.checkpoint.db.read(lambda tx: runs.find_standing(tx, identity.run))
        check_run(row, self.clock.micros())
        binding = await self.checkpoint.bindings.of(identity.revision)
        found = (
            model.model
            for model in binding.agent.models
            if takes(binding.fleet.vendors[model.vendor].dialect, self.dialect)
        )
        return list(dict.fromkeys(found))  # two roles may share a model


def _model(dialect: Dialect, name: str) -> dict[str, Any]:
    match dialect:
        case "anthropic":
            epoch = "1970-01-01T00:00:00Z"
            return {"type": "model", "id": name, "display_name": name, "created_at": epoch}
        case "gemini":
            methods = ["generateContent", "countTokens"]
            return {
                "name": f"models/{name}",
                "baseModelId": name,
                "displayName": name,
                "supportedGenerationMethods": methods,
            }
        case _:
            return {"id": name, "object": "model", "created": 0, "owned_by": "quarterdeck"}


def _listed(dialect: Dialect, models: list[dict[str, Any]]) -> dict[str, Any]:
    match dialect:
        case "anthropic":
            ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {}
            return {"data": models, "has_more": False, **ends}
        case "gemini":
            return {"models": models}
        case _:
            return {"object": "list", "data": models}


async def _answer(send: Send, body: object) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": orjson.dumps(body)})
