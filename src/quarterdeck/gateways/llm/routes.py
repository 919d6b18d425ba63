"""The routes of model wires: paths as the vendors' own SDKs build them below a base URL of ours.

What stands in braces is told by the URL: `{model}`, `{deployment}` and `{id}` name the model.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.actions import Address
from quarterdeck.domain.fleets import Dialect
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.gateways.llm.exchange import ModelGateway
from quarterdeck.gateways.llm.models import ModelList
from quarterdeck.sources import Clock

Endpoint: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Wires whose requests say in their body which model they ask, by path.
IN_BODY: Final[Mapping[str, str]] = {
    "/openai/v1/chat/completions": "openai-chat",
    "/openai/v1/responses": "openai-responses",
    "/openai/v1/embeddings": "openai-embeddings",
    "/openai/v1/completions": "openai-completions",
    "/azure/openai/v1/chat/completions": "openai-chat",
    "/azure/openai/v1/responses": "openai-responses",
    "/azure/openai/v1/embeddings": "openai-embeddings",
    "/azure/openai/responses": "azure-responses",
    "/anthropic/v1/messages": "anthropic-messages",
    "/anthropic/v1/messages/count_tokens": "anthropic-count-tokens",
}
#: Wires whose URL says it, and whether that path means a stream.
IN_URL: Final[Mapping[str, tuple[str, bool]]] = {
    "/azure/openai/deployments/{deployment}/chat/completions": ("azure-chat", False),
    "/azure/openai/deployments/{deployment}/completions": ("azure-completions", False),
    "/azure/openai/deployments/{deployment}/embeddings": ("azure-embeddings", False),
    "/gemini/{version}/models/{model}:generateContent": ("gemini-generate", False),
    "/gemini/{version}/models/{model}:streamGenerateContent": ("gemini-generate", True),
    "/gemini/{version}/models/{model}:countTokens": ("gemini-count-tokens", False),
    "/bedrock/model/{id}/converse": ("bedrock-converse", False),
    "/bedrock/model/{id}/converse-stream": ("bedrock-converse", True),
    "/bedrock/model/{id}/invoke": ("bedrock-invoke", False),
    "/bedrock/model/{id}/invoke-with-response-stream": ("bedrock-invoke", True),
}
#: Lists of the models an agent may use.
LISTS: Final[Mapping[str, Dialect]] = {
    "/openai/v1/models": "openai",
    "/azure/openai/v1/models": "openai",
    "/anthropic/v1/models": "anthropic",
    "/gemini/{version}/models": "gemini",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A wire whose URL says which model is asked, and in which way."""

    gateway: ModelGateway
    streamed: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        said: Mapping[str, str] = scope["path_params"]
        at = Address(
            wire=self.gateway.wire.name,
            model=said.get("model") or said.get("deployment") or said.get("id") or "",
            streamed=self.streamed,
            version=said.get("version", ""),
            in_url=True,
        )
        await self.gateway.answer(scope, receive, send, at)


def endpoints(
    gateways: Mapping[str, ModelGateway], checkpoint: Checkpoint, clock: Clock
) -> dict[tuple[str, str], Endpoint]:
    """Every route of a model wire, by method and path."""
    table: dict[tuple[str, str], Endpoint] = {}
    for path, wire in IN_BODY.items():
        table[("POST", path)] = gateways[wire]
    for path, (wire, streamed) in IN_URL.items():
        table[("POST", path)] = Addressed(gateway=gateways[wire], streamed=streamed)
    for path, dialect in LISTS.items():
        listing = ModelList(dialect=dialect, checkpoint=checkpoint, clock=clock)
        table[("GET", path)] = listing
        table[("GET", path + "/{model}")] = listing
    return table
