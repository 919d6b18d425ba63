"""One model call from its first byte to its settlement, as raw ASGI.

INVARIANT (I-11): bytes that need no change are not changed. Settled whatever happens: also when the
client hangs up (which cancels the upstream) or the vendor dies in the middle.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.actions import Address, Cleared, Done, Proposal, Receipt
from quarterdeck.domain.dialects import ModelRequest, Wire
from quarterdeck.domain.dialects.request import IN_BODY
from quarterdeck.domain.dialects.sse import Splitter
from quarterdeck.domain.errors import Invalid, QuarterdeckError, Unavailable
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
from quarterdeck.upstream.models.client import Answer, Broken, ModelClient, Unanswered

_log = structlog.get_logger("gateway")
_JSON: Final = (b"content-type", b"application/json")
_HUNG_UP: Final = End(whole=False, because="the client hung up")
_WHOLE: Final = End(whole=True)


@dataclass(slots=True, kw_only=True)
class ModelGateway:
    """Serves model calls of one wire."""

    wire: Wire
    checkpoint: Checkpoint
    client: ModelClient
    clock: Clock
    settle: Callable[[Cleared, Receipt], "asyncio.Task[None]"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose URL says nothing but its wire."""
        await self.answer(scope, receive, send, IN_BODY)

    async def answer(self, scope: Scope, receive: Receive, send: Send, at: Address) -> None:
        """Answer one request; `at` is what its URL says."""
        started, wire = self.clock.monotonic(), self.wire
        try:
            body = await read_body(scope, receive)
        except HungUp:
            return
        except TooLarge:
            await fail(send, wire, errors.TOO_LARGE)
            return
        call = _Call(self, wire, scope, send, at, started)
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
    at: Address
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
        if self.wire.dialect == "bedrock":
            headers.check_asked(self.scope)
        credential = headers.credential_of(self.scope)
        identity = await self.gateway.checkpoint.identify(credential)
        binding = await self.gateway.checkpoint.bindings.of(identity.revision)
        request = self._peek(body, binding)
        proposal = Proposal(
            credential=credential,
            kind="model",
            dialect=self.wire.dialect,
            address=msgspec.structs.replace(
                self.at,
                wire=self.wire.name,
                model=request.model,
                streamed=request.stream,
                query=headers.query_of(self.scope, self.wire.dialect),
            ),
            target=request.model,
            arguments=request.forward,
            content=request.content,
            tokens=request.tokens,
            findings=request.findings,
            idempotency_key=headers.find(sent, b"idempotency-key"),
        )
        return request, await self.gateway.checkpoint.admit(proposal)

    def _peek(self, body: bytes, binding: Binding) -> ModelRequest:
        """What is asked for, under what the vendor of that very model may do."""
        allow = binding.allowed(self.wire.dialect)
        request = self.wire.peek(body, allow, self.at)
        exact = binding.allowed(self.wire.dialect, request.model)
        return request if exact == allow else self.wire.peek(body, exact, self.at)

    async def _forward(self, cleared: Cleared, request: ModelRequest, watch: HangUpWatch) -> None:
        """From here on the action is settled, whatever happens."""
        meter: Meter | None = None
        end = _HUNG_UP
        receipt: Receipt | None = None
        answer: Answer | None = None
        asked = self.gateway.clock.monotonic()
        sent = headers.to_vendor(self.scope["headers"], compressible=not request.withhold_usage)
        call = self.gateway.client.open(cleared, sent)
        try:
            answer = await call.answered()
            self.waited = self.gateway.clock.monotonic() - asked
            meter = self._meter(answer, request)
            await self._pass_on(cleared, answer, request, meter)
            end = _WHOLE
        except Unanswered as error:
            receipt = error.receipt
            failure = errors.of_vendor(str(error), error.retry_after, cleared.action.id)
            await fail(self.send, self.wire, failure)
        except Unavailable as error:
            receipt = call.receipt(error.message)
            await fail(self.send, self.wire, errors.of_error(error, cleared.action.id))
        except Broken as error:
            # Bytes have passed, so the answer is left unfinished: the client sees what it would
            # have seen without us, a connection that ends in the middle.
            end = End(whole=False, because=str(error))
        finally:
            if answer is not None:
                answer.release() if end.whole else answer.close()
                meter = meter or self._meter(answer, request)
                receipt = answer.accounted(meter.receipt(end, request.tokens))
            if receipt is None:
                receipt = call.receipt(end.because)
            # A task of its own: a hang-up cancels us, never the settlement.
            self.gateway.settle(cleared, receipt)

    def _meter(self, answer: Answer, request: ModelRequest) -> Meter:
        found = dict(answer.headers)
        return Meter(
            self.wire,
            status=answer.status,
            encoding=found.get("content-encoding", ""),
            content_type=found.get("content-type", ""),
            streamed=request.stream,
        )

    async def _pass_on(
        self, cleared: Cleared, answer: Answer, request: ModelRequest, meter: Meter
    ) -> None:
        """Send every chunk as it comes, but for the usage event the client did not ask for."""
        withheld = _Withheld(self.wire) if request.withhold_usage and meter.is_plain else None
        begun = ended = False
        while not ended:
            chunk = await answer.more()
            meter.see(chunk)
            passing = chunk if withheld is None else withheld.passing(chunk)
            if not begun:
                await self._start(cleared, answer, whole=withheld is None)
                begun = True
            ended = answer.is_whole  # mostly with the first piece, which goes as the last one then
            if ended and withheld is not None:
                passing += withheld.rest()
            if passing or ended:
                await self._send(passing, more=not ended)

    async def _send(self, body: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

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
        assert wire.is_usage_only is not None, "a wire that asks for usage can tell it apart"
        self._is_usage_only = wire.is_usage_only
        self._splitter = Splitter()

    def passing(self, chunk: bytes) -> bytes:
        events = self._splitter.feed(chunk)
        return b"".join(e for e in events if not self._is_usage_only(e))

    def rest(self) -> bytes:
        return self._splitter.rest


async def fail(send: Send, wire: Wire, failure: Failure) -> None:
    """A failure in the vendor's own envelope, so that SDKs raise what their users expect."""
    status = wire.budget_status if failure.code == "budget_exceeded" else failure.status
    body = wire.error_body(
        status=status, code=failure.code, message=failure.message, action=failure.action
    )
    extra = [(b"content-length", str(len(body)).encode())]
    if failure.action is not None:
        extra.append((b"x-quarterdeck-action-id", failure.action.encode()))
        extra.append((b"x-quarterdeck-overhead-ms", b"0"))
    if not failure.retry:
        extra.append((b"x-should-retry", b"false"))
    if failure.retry_after is not None:
        extra.append((b"retry-after", str(failure.retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, *extra]})
    await send({"type": "http.response.body", "body": body})
