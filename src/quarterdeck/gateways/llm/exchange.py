"""One model call from its first byte to its settlement, as raw ASGI.

INVARIANT (I-11): bytes that need no change are not changed. Settled whatever happens: also when the
client hangs up (which cancels the upstream) or the vendor dies in the middle.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.actions import Cleared, Done, Proposal, Receipt
from quarterdeck.domain.dialects import WIRES, ModelRequest, Wire
from quarterdeck.domain.dialects.sse import Splitter
from quarterdeck.domain.errors import Invalid, QuarterdeckError, Unavailable
from quarterdeck.domain.fleets import Dialect
from quarterdeck.gateways.llm import errors, headers
from quarterdeck.gateways.llm.body import (
    HangUpWatch,
    HungUp,
    Receive,
    Scope,
    Send,
    TooLarge,
    read_body,
)
from quarterdeck.gateways.llm.errors import Failure
from quarterdeck.gateways.llm.meter import End, Meter
from quarterdeck.sources import Clock
from quarterdeck.upstream.models.client import Answer, Broken, ModelClient, NotAttempted

_log = structlog.get_logger("gateway")
_JSON: Final = (b"content-type", b"application/json")


@dataclass(slots=True, kw_only=True)
class ModelGateway:
    """Serves model calls of one dialect."""

    dialect: Dialect
    checkpoint: Checkpoint
    client: ModelClient
    clock: Clock
    settle: Callable[[Cleared, Receipt], "asyncio.Task[None]"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = self.clock.monotonic()
        wire = WIRES[self.dialect]
        try:
            body = await read_body(scope, receive)
        except HungUp:
            return
        except TooLarge:
            await fail(send, wire, errors.TOO_LARGE)
            return
        call = _Call(self, wire, scope, send, started)
        try:
            async with HangUpWatch(receive) as watch:
                await call.answer(body, watch)
        except QuarterdeckError as error:
            await fail(send, wire, errors.of_error(error))


@dataclass(slots=True)
class _Call:
    gateway: ModelGateway
    wire: Wire
    scope: Scope
    send: Send
    started: float
    waited: float = 0.0

    async def answer(self, body: bytes, watch: HangUpWatch) -> None:
        """Peek, admit, forward, settle."""
        request, admission = await self._admit(body)
        if isinstance(admission, Done):
            await self._repeat(admission)
        elif not isinstance(admission, Cleared):
            await fail(self.send, self.wire, errors.of_outcome(admission))
        else:
            await self._forward(admission, request, watch)

    async def _admit(self, body: bytes) -> tuple[ModelRequest, Any]:
        sent = self.scope["headers"]
        if headers.find(sent, b"content-encoding") not in (None, "", "identity"):
            raise Invalid("compressed request bodies are not read", hint="send it uncompressed")
        identity = await self.gateway.checkpoint.identify(headers.credential_of(sent))
        binding = await self.gateway.checkpoint.bindings.of(identity.revision)
        request = self.wire.peek(body, binding.allowed(self.gateway.dialect))
        proposal = Proposal(
            credential=headers.credential_of(sent),
            kind="model",
            dialect=self.gateway.dialect,
            target=request.model,
            arguments=request.forward,
            content=request.content,
            tokens=request.tokens,
            findings=request.findings,
            idempotency_key=headers.find(sent, b"idempotency-key"),
        )
        return request, await self.gateway.checkpoint.admit(proposal)

    async def _forward(self, cleared: Cleared, request: ModelRequest, watch: HangUpWatch) -> None:
        """From here on the action is settled, whatever happens."""
        meter: Meter | None = None
        end = End(whole=False, because="the client hung up")
        receipt: Receipt | None = None
        answer: Answer | None = None
        try:
            asked = self.gateway.clock.monotonic()
            sent = headers.to_vendor(self.scope["headers"], compressible=not request.withhold_usage)
            answer = await self.gateway.client.open(cleared, sent)
            self.waited = self.gateway.clock.monotonic() - asked
            meter = self._meter(answer, request)
            await self._pass_on(cleared, answer, request, meter)
            end = End(whole=True)
        except NotAttempted as error:
            receipt = _not_attempted(str(error))
            await self._unreachable(cleared, str(error))
        except Unavailable as error:
            receipt = _not_attempted(error.message)
            await fail(self.send, self.wire, errors.of_error(error, cleared.action.id))
        except Broken as error:
            end = End(whole=False, because=str(error))
            # Once bytes have passed, the answer is left unfinished: the client sees what it would
            # have seen without us, a connection that ends in the middle.
            if meter is None:
                await self._unreachable(cleared, str(error))
        finally:
            if answer is not None:
                answer.release() if end.whole else answer.close()
            if receipt is None:
                meter = meter or Meter(self.wire, status=0, encoding="", streamed=False)
                receipt = meter.receipt(end, request.tokens)
            # A task of its own: a hang-up cancels us, never the settlement.
            self.gateway.settle(cleared, receipt)

    def _meter(self, answer: Answer, request: ModelRequest) -> Meter:
        found = {name.lower(): value for name, value in answer.headers}
        streamed = found.get("content-type", "").startswith("text/event-stream")
        return Meter(
            self.wire,
            status=answer.status,
            encoding=found.get("content-encoding", "").lower(),
            streamed=streamed,
        )

    async def _pass_on(
        self, cleared: Cleared, answer: Answer, request: ModelRequest, meter: Meter
    ) -> None:
        """Send every chunk as it comes, but for the usage event the client did not ask for."""
        withheld = _Withheld(self.wire) if request.withhold_usage and answer.status < 400 else None
        first = True
        async for chunk in answer.chunks():
            meter.see(chunk)
            passing = chunk if withheld is None else withheld.passing(chunk)
            if first:
                await self._start(cleared, answer, whole=withheld is None)
                first = False
            if passing:
                await self.send({"type": "http.response.body", "body": passing, "more_body": True})
        if first:
            await self._start(cleared, answer, whole=withheld is None)
        rest = b"" if withheld is None else withheld.rest()
        await self.send({"type": "http.response.body", "body": rest})

    async def _start(self, cleared: Cleared, answer: Answer, *, whole: bool) -> None:
        await self.send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    *headers.to_client(answer.headers, whole=whole),
                    (b"x-quarterdeck-action-id", cleared.action.id.encode()),
                    (b"x-quarterdeck-overhead-ms", self._overhead()),
                ],
            }
        )

    def _overhead(self) -> bytes:
        """Our time until now, less what we waited for the vendor's first byte."""
        ours = self.gateway.clock.monotonic() - self.started - self.waited
        return f"{ours * 1000:.3f}".encode()

    async def _unreachable(self, cleared: Cleared, message: str) -> None:
        failure = Failure(
            status=502, code="upstream_unreachable", message=message, action=cleared.action.id
        )
        await fail(self.send, self.wire, failure)

    async def _repeat(self, done: Done) -> None:
        """Asked before under the same key: the same answer, and nothing is called again."""
        detail = done.receipt.detail
        if not done.receipt.result:
            gone = "the first answer under this key was streamed or failed and is not kept"
            failure = Failure(
                status=409, code="conflict", message=gone, action=done.action.id, retry=False
            )
            await fail(self.send, self.wire, failure)
            return
        await self.send(
            {
                "type": "http.response.start",
                "status": detail.get("status", 200),
                "headers": [
                    _JSON,
                    (b"x-quarterdeck-action-id", done.action.id.encode()),
                    (b"x-quarterdeck-overhead-ms", self._overhead()),
                    (b"x-quarterdeck-repeated", b"true"),
                ],
            }
        )
        await self.send({"type": "http.response.body", "body": done.receipt.result})


class _Withheld:
    """Whole events pass, the last one that only tells usage does not, an unfinished one waits."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._splitter = Splitter()

    def passing(self, chunk: bytes) -> bytes:
        events = self._splitter.feed(chunk)
        return b"".join(e for e in events if not self._wire.is_usage_only(e))

    def rest(self) -> bytes:
        return self._splitter.rest


def _not_attempted(because: str) -> Receipt:
    return Receipt(status="not_attempted", result=b"", detail={"error": because[:500]})


async def fail(send: Send, wire: Wire, failure: Failure) -> None:
    """A failure in the vendor's own envelope, so that SDKs raise what their users expect."""
    body = wire.error_body(
        status=failure.status, code=failure.code, message=failure.message, action=failure.action
    )
    extra = [(b"content-length", str(len(body)).encode())]
    if failure.action is not None:
        extra.append((b"x-quarterdeck-action-id", failure.action.encode()))
        extra.append((b"x-quarterdeck-overhead-ms", b"0"))
    if not failure.retry:
        extra.append((b"x-should-retry", b"false"))
    await send(
        {"type": "http.response.start", "status": failure.status, "headers": [_JSON, *extra]}
    )
    await send({"type": "http.response.body", "body": body})
