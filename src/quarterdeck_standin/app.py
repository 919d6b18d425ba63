"""The stand-in as an ASGI application: two dialects, one brain, and the stand-in's own count.

Routes: the model routes of both, `/v1/models`, and `/standin/usage`, `/standin/requests`,
`/standin/reset` for whoever tests against it. Any key is accepted and none is checked.
"""

import base64
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from starlette.types import Receive, Scope, Send

from quarterdeck.domain.errors import Invalid, QuarterdeckError
from quarterdeck.domain.limits import BODY_BYTES_MAX
from quarterdeck_standin import anthropic_wire, embeddings, openai_wire, responses_wire
from quarterdeck_standin.conversation import (
    Answer,
    Conversation,
    Failure,
    Performance,
    Piece,
    RawReply,
    Usage,
)
from quarterdeck_standin.delivery import Head, Line, play, play_bare
from quarterdeck_standin.tally import End, Tally
from quarterdeck_standin.tokens import CONTEXT_CHARACTERS_MAX, input_tokens, usage_of, within

REQUESTS_KEPT_MAX: Final = 1000
TRANSPORT_KEY: Final = "quarterdeck_standin.transport"
_NO_USAGE: Final = Usage()
_JSON: Final = ("content-type", "application/json")
_EVENTS: Final = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
)


class Dialect(Protocol):
    """A vendor's wire: the modules `…_wire` are of this shape."""

    @property
    def NAME(self) -> str:  # a constant of the module
        """What the dialect is called."""

    def conversation_of(self, body: dict[str, Any]) -> Conversation:
        """Read a request."""

    def whole(self, conversation: Conversation, answer: Answer, usage: Usage) -> bytes:
        """Write an answer in one piece."""

    def events(self, conversation: Conversation, answer: Answer, usage: Usage) -> Iterator[bytes]:
        """Write an answer as a stream."""

    def error(self, failure: Failure) -> bytes:
        """Write an error."""

    def models(self, names: tuple[str, ...]) -> bytes:
        """Write the list of models."""

    def request_id(self) -> tuple[str, str]:
        """Make a request id, as a header."""


class Brain(Protocol):
    """Whatever decides what to answer: a script, or the triage classifier."""

    mode: str
    models: tuple[str, ...]

    async def perform(self, conversation: Conversation, dialect: str) -> Performance:
        """The reply to a conversation and how it is played."""

    def reset(self) -> None:
        """Forget the requests so far."""


_DIALECTS: Final[dict[str, Dialect]] = {
    openai_wire.PATH: openai_wire,
    responses_wire.PATH: responses_wire,
    anthropic_wire.PATH: anthropic_wire,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A performance turned into bytes for one request, and the usage it will count."""

    head: Head
    pieces: Iterator[Piece]
    performance: Performance
    usage: Usage


class StandIn:
    """The application. One brain answers; the tally and the kept requests are its only state."""

    def __init__(self, brain: Brain, *, keep_requests: bool = False) -> None:
        self.brain = brain
        self.tally = Tally()
        self._kept: deque[dict[str, Any]] | None = (
            deque(maxlen=REQUESTS_KEPT_MAX) if keep_requests else None
        )

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests that were kept, as `/standin/requests` tells them."""
        return list(self._kept or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "the server is started without lifespan and web sockets"
        path, method = scope["path"], scope["method"]
        if method == "POST" and path in _DIALECTS:
            await self._model_call(_DIALECTS[path], scope, receive, send)
            return
        if method == "POST" and path in _COMPUTED:
            await self._computed(path, scope, receive, send)
            return
        status, body = self._plain(method, path, scope)
        await _send_whole(send, status, body)

    def _plain(self, method: str, path: str, scope: Scope) -> tuple[int, bytes]:
        match method, path:
            case "GET", "/standin/usage":
                return 200, orjson.dumps(self.tally.totals() | {"mode": self.brain.mode})
            case "GET", "/standin/requests":
                return 200, orjson.dumps({"requests": self.requests})
            case "POST", "/standin/reset":
                self.tally.reset()
                self.brain.reset()
                if self._kept is not None:
                    self._kept.clear()
                return 200, b"{}"
            case "GET", "/v1/models":
                names = {name for name, _ in scope["headers"]}
                of_anthropic = b"anthropic-version" in names
                wire: Dialect = anthropic_wire if of_anthropic else openai_wire
                return 200, wire.models(self.brain.models)
        message = f"no such route: {method} `{path}`"
        failure = Failure(status=404, kind="not_found_error", message=message)
        return 404, openai_wire.error(failure)

    async def _model_call(self, wire: Dialect, scope: Scope, receive: Receive, send: Send) -> None:
        self.tally.begin()
        body = await _read(receive)
        if body is None:
            self.tally.end("", "cancelled")
            return
        self._keep(scope, body)
        line = Line(receive, send, scope.get(TRANSPORT_KEY))
        model = ""
        try:
            conversation = _parsed(wire, body)
            model = conversation.model
            self.tally.name(model)
            performance = await self.brain.perform(conversation, wire.NAME)
        except QuarterdeckError as error:
            conversation = Conversation(model=model, turns=())
            kind = "invalid_request_error"
            failure = Failure(status=400, kind=kind, message=f"{error.message}; {error.hint}")
            performance = Performance(reply=failure)
        try:
            await self._deliver(line, _reply(wire, conversation, performance), model)
        finally:
            await line.close()

    async def _computed(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """What is computed from the request alone, without the brain."""
        self.tally.begin()
        body = await _read(receive)
        if body is None:
            self.tally.end("", "cancelled")
            return
        self._keep(scope, body)
        end: End = "broken"
        model, usage = "", _NO_USAGE
        try:
            parsed = _object(body)
            model = str(parsed.get("model", ""))
            self.tally.name(model)
            answer, usage = _COMPUTED[path](parsed)
            status, end = 200, "answered"
        except QuarterdeckError as error:
            message = f"{error.message}; {error.hint}"
            failure = Failure(status=400, kind="invalid_request_error", message=message)
            wire = anthropic_wire if path.startswith(anthropic_wire.PATH) else openai_wire
            status, answer = 400, wire.error(failure)
        self.tally.end(model, end, usage)
        await _send_whole(send, status, answer)

    async def _deliver(self, line: Line, reply: Reply, model: str) -> None:
        raw = reply.performance.reply
        if isinstance(raw, RawReply) and raw.bare:
            self.tally.end(model, await play_bare(line, reply.pieces, reply.performance))
            return
        end: End = "broken"
        try:
            end = await play(line, reply.head, reply.pieces, reply.performance)
        finally:
            # Counted before the reply's end is sent: whoever has read it whole finds it counted.
            sound = end != "answered" or reply.head.status < 400
            self.tally.end(model, end if sound else "broken", reply.usage)
        if end == "answered":
            await line.write(b"", more=False)

    def _keep(self, scope: Scope, body: bytes) -> None:
        if self._kept is None:
            return
        headers = [
            [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
        ]
        self._kept.append(
            {
                "path": scope["path"],
                "query": scope["query_string"].decode("latin-1"),
                "headers": headers,
                "body_base64": base64.b64encode(body).decode(),
            }
        )


def _reply(wire: Dialect, conversation: Conversation, performance: Performance) -> Reply:
    """Turn what is to be said into bytes of the caller's dialect."""
    said = performance.reply
    made = wire.request_id()
    match said:
        case Answer():
            answer = within(said, conversation.output_tokens_max)
            usage = usage_of(conversation, answer)
            if conversation.streamed:
                parts = wire.events(conversation, answer, usage)
                pieces = (Piece(body=part, delay_seconds=answer.delay_seconds) for part in parts)
                head = Head(status=200, headers=(*_EVENTS, made))
                return Reply(head=head, pieces=pieces, performance=performance, usage=usage)
            body = wire.whole(conversation, answer, usage)
            return _whole(200, body, headers=(made,), performance=performance, usage=usage)
        case Failure():
            headers = (made, *said.headers)
            body = wire.error(said)
            return _whole(said.status, body, headers=headers, performance=performance)
        case RawReply():
            head = Head(status=said.status, headers=said.headers)
            return Reply(
                head=head,
                pieces=iter(said.pieces),
                performance=performance,
                usage=said.usage or _NO_USAGE,
            )


def _whole(
    status: int,
    body: bytes,
    *,
    headers: tuple[tuple[str, str], ...],
    performance: Performance,
    usage: Usage = _NO_USAGE,
) -> Reply:
    length = ("content-length", str(len(body)))
    head = Head(status=status, headers=(_JSON, length, *headers))
    return Reply(head=head, pieces=iter([Piece(body=body)]), performance=performance, usage=usage)


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > BODY_BYTES_MAX:
        raise Invalid("the request body is too large", hint=f"send at most {BODY_BYTES_MAX} bytes")
    try:
        parsed = orjson.loads(body)
    except ValueError as error:
        raise Invalid(f"the request cannot be read: {error}", hint="send JSON") from error
    if not isinstance(parsed, dict):
        raise Invalid("the request cannot be read: it is no object", hint="send a JSON object")
    return parsed


def _embedded(body: dict[str, Any]) -> tuple[bytes, Usage]:
    answer, tokens = embeddings.answer_of(body)
    return answer, Usage(input_tokens=tokens)


def _counted(body: dict[str, Any]) -> tuple[bytes, Usage]:
    """Anthropic's count of a request's tokens: no output cap is needed, nothing is billed."""
    conversation = _conversation(anthropic_wire, body | {"max_tokens": 1})
    return orjson.dumps({"input_tokens": input_tokens(conversation)}), _NO_USAGE


_COMPUTED: Final[dict[str, Callable[[dict[str, Any]], tuple[bytes, Usage]]]] = {
    embeddings.PATH: _embedded,
    f"{anthropic_wire.PATH}/count_tokens": _counted,
}


def _parsed(wire: Dialect, body: bytes) -> Conversation:
    """Read a request in its dialect; whatever does not fit is the caller's mistake."""
    return _conversation(wire, _object(body))


def _conversation(wire: Dialect, parsed: dict[str, Any]) -> Conversation:
    try:
        conversation = wire.conversation_of(parsed)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Invalid(
            f"the request cannot be read: {error}", hint="send what the API describes"
        ) from error
    characters = sum(len(turn.text) for turn in conversation.turns)
    if characters > CONTEXT_CHARACTERS_MAX:
        hint = f"send at most {CONTEXT_CHARACTERS_MAX} characters"
        raise Invalid("this is more than the model's context holds", hint=hint)
    return conversation


async def _read(receive: Receive) -> bytes | None:
    """The whole body as far as its limit and one byte, or None when the caller went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= BODY_BYTES_MAX:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _send_whole(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
