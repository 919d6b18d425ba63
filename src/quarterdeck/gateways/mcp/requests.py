"""Reading an HTTP request that carries a message."""

from typing import Final

import orjson

from quarterdeck.domain.dialects.request import Members
from quarterdeck.domain.limits import MCP_MESSAGE_BYTES_MAX
from quarterdeck.domain.mcp.errors import INVALID_REQUEST, Fault, Id
from quarterdeck.domain.mcp.headers import Told
from quarterdeck.domain.mcp.messages import META_SUBSCRIPTION, Message
from quarterdeck.gateways.llm import headers
from quarterdeck.gateways.llm.body import Receive, Scope, TooLarge, read_body
from quarterdeck.gateways.mcp.answering import Answering
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.gateways.mcp.exchange import Exchange

ACTION: Final = b"x-quarterdeck-action-id"
_APPROVAL: Final = b"x-quarterdeck-approval"
_KEY: Final = b"idempotency-key"


def takes_events(scope: Scope) -> bool:
    """Whether the client reads streams of events."""
    return "text/event-stream" in (headers.find(scope["headers"], b"accept") or "").lower()


async def body_of(scope: Scope, receive: Receive) -> bytes:
    """The body, if it is of the kind and size that a message has; raises Fault."""
    sent = scope["headers"]
    kind = (headers.find(sent, b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Fault(INVALID_REQUEST, "Send content-type: application/json", status=415)
    accepted = (headers.find(sent, b"accept") or "*/*").lower()
    if "application/json" not in accepted and "*/*" not in accepted:
        raise Fault(INVALID_REQUEST, "Accept application/json, text/event-stream", status=406)
    if headers.find(sent, b"content-encoding") not in (None, "", "identity"):
        raise Fault(INVALID_REQUEST, "Compressed bodies are not read", status=415)
    try:
        return await read_body(scope, receive, most=MCP_MESSAGE_BYTES_MAX)
    except TooLarge:
        most = MCP_MESSAGE_BYTES_MAX // 1024 // 1024
        raise Fault(INVALID_REQUEST, f"A message has at most {most} MiB", status=413) from None


def exchange(
    scope: Scope,
    caller: McpCaller,
    message: Message,
    params: Members,
    meta: Members,
    told: Told,
    out: Answering,
) -> Exchange:
    """A request, ready for its method."""
    assert message.id is not None, "a request has an id"
    return Exchange(
        caller=caller,
        id=message.id,
        method=message.method,
        params=params,
        meta=meta,
        told=told,
        out=out,
        key=headers.find(scope["headers"], _KEY),
        approval=headers.find(scope["headers"], _APPROVAL),
    )


def closing(number: Id) -> bytes:
    """The answer to a subscription that ends well."""
    return orjson.dumps({"resultType": "complete", "_meta": {META_SUBSCRIPTION: number}})
