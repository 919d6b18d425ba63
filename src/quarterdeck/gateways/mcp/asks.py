"""What servers ask of an agent's client: each an action, granted per server (SPEC IN-5).

In the handshake era a server asks on the stream of a call, and the client answers with a message of
its own, perhaps to another process. In the stateless era it ends the call with what it needs, and
the client calls again. Both ways the same is judged, and what is not granted is not passed on.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain import questions
from quarterdeck.domain.actions import Cleared, Content, Done, Proposal, Receipt
from quarterdeck.domain.dialects.request import Members
from quarterdeck.domain.grants import permits
from quarterdeck.domain.limits import (
    MCP_ANSWER_SECONDS_MAX,
    MCP_ASK_BYTES_MAX,
    MCP_ASKS_MAX,
    MCP_STATE_SECONDS,
)
from quarterdeck.domain.mcp.asks import Reply
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, METHOD_NOT_FOUND, REFUSED, UPSTREAM, Fault
from quarterdeck.domain.mcp.messages import (
    Message,
    joined,
    object_of,
    parse,
    request,
    text_of,
)
from quarterdeck.domain.servers import Server
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.gateways.mcp.exchange import Exchange
from quarterdeck.gateways.mcp.passing import Passing
from quarterdeck.gateways.mcp.sessions import seal, unseal
from quarterdeck.keys import credential_hash
from quarterdeck.sources import Clock, Dice
from quarterdeck.store import mcp_sessions
from quarterdeck.store.database import Database
from quarterdeck.store.keys import Keyring

_QUESTION: Final = "mcp-question"
_ANSWER: Final = "mcp-answer"
_STATE: Final = "mcp-request-state"
POLL_SECONDS: Final = 0.5
_PLAIN: Final = msgspec.json.Decoder(dict[str, Any])
Asked = dict[str, Any]


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What a server wants back from us alone: of this run, this target, these arguments."""

    run: str
    target: str
    digest: bytes
    until: int
    state: bytes


_STATES: Final = msgspec.msgpack.Decoder(_State)


@dataclass(slots=True, kw_only=True)
class Asks:
    """Judges questions, passes them on, and brings answers back."""

    passing: Passing
    db: Database
    keyring: Keyring
    clock: Clock
    dice: Dice
    _waiting: dict[str, "asyncio.Future[Message]"] = field(default_factory=dict)

    def allowed(self, caller: McpCaller, server: Server) -> frozenset[str]:
        """What a server may be told that it can ask: declared by the client, and granted."""
        grant = caller.binding.agent.servers.get(server.name)
        if grant is None:
            return frozenset()
        kinds = {"elicitation": "elicitation", "roots": "elicitation", "sampling": "sampling"}
        return frozenset(
            name for name in caller.can if permits(grant, kinds[name.partition(".")[0]], "")
        )

    async def on_stream(
        self, x: Exchange, server: Server, method: str, params: bytes, *, before: int
    ) -> Reply:
        """Answer what a server asks on the stream of a call: by the client, or by a refusal."""
        if x.caller.modern or not x.out.streams:
            return _no(METHOD_NOT_FOUND, "the client cannot be asked on a stream")
        if before >= MCP_ASKS_MAX:
            return _no(REFUSED, f"a call may ask {MCP_ASKS_MAX} times")
        asked = _read(params)
        if (why := self._problem(x.caller, server, method, asked, len(params))) is not None:
            return _no(REFUSED, why)
        assert asked is not None
        shown = params if x.caller.server is not None else _named(method, asked, server)

        async def effect(cleared: Cleared) -> Receipt:
            return await self._by_client(x, method, shown)

        outcome = await self.passing.out(self._proposal(x.caller, server, method, params), effect)
        if not isinstance(outcome, Done) or not outcome.receipt.result:
            return _no(REFUSED, "it was not permitted, or nobody answered")
        answer = object_of(Raw(outcome.receipt.result), "the answer")
        if "error" in answer:
            return Reply(error=bytes(answer["error"]))
        return Reply(result=bytes(answer["result"]))

    def _problem(
        self, caller: McpCaller, server: Server, method: str, asked: Asked | None, size: int
    ) -> str | None:
        if size > MCP_ASK_BYTES_MAX:
            return f"a question has at most {MCP_ASK_BYTES_MAX} bytes"
        return questions.problem(method, asked, self.allowed(caller, server))

    def _proposal(self, caller: McpCaller, server: Server, method: str, params: bytes) -> Proposal:
        return Proposal(
            credential=caller.credential,
            kind=questions.KINDS[method],
            target=f"{server.name}/{questions.name_of(method)}",
            arguments=params,
            content=Content(rest=params),
        )

    async def _by_client(self, x: Exchange, method: str, params: bytes) -> Receipt:
        """Pass a question on and wait for its answer, in whichever process it arrives."""
        assert x.caller.session is not None, "only sessions can be asked on a stream"
        key = await self.keyring.mcp_key()
        number = "qd_" + seal(key, _QUESTION, x.caller.session.nonce + self.dice.bytes(8))
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await x.out.say(request(number, method, _members(params)))
            async with asyncio.timeout(MCP_ANSWER_SECONDS_MAX):
                message = await self._arrived(number, future)
        except TimeoutError:
            return Receipt(
                status="failed", result=b"", detail={"error": "the client did not answer"}
            )
        finally:
            self._waiting.pop(number, None)
        if len(message.error):
            result = joined({"error": message.error})
            return Receipt(status="failed", result=result, content=Content(rest=result))
        result = joined({"result": message.result})
        return Receipt(status="done", result=result, content=Content(rest=result))

    async def _arrived(self, number: str, future: "asyncio.Future[Message]") -> Message:
        if self.db.dialect == "sqlite":  # then there is one process
            return await future
        name = credential_hash(number)
        while True:
            done, _ = await asyncio.wait((future,), timeout=POLL_SECONDS)
            if done:
                return future.result()
            stored = await self.db.read(lambda tx: mcp_sessions.find_answer(tx, name))
            if stored is not None:
                plain = (await self.keyring.mcp_key()).open(_ANSWER, stored)
                return parse(plain)

    async def answered(self, caller: McpCaller, message: Message) -> bool:
        """Take a client's answer; False where nobody asked this session."""
        session, number = caller.session, message.id
        if session is None or not isinstance(number, str) or not number.startswith("qd_"):
            return False
        key = await self.keyring.mcp_key()
        plain = unseal(key, _QUESTION, number.removeprefix("qd_"))
        if plain is None or plain[:-8] != session.nonce:
            return False
        future = self._waiting.get(number)
        if future is not None:
            if not future.done():
                future.set_result(message)
            return True
        if self.db.dialect == "sqlite":
            return False
        until = self.clock.micros() + MCP_ANSWER_SECONDS_MAX * 1_000_000
        sealed = key.seal(_ANSWER, message.written())
        name = credential_hash(number)
        await self.db.write(lambda tx: mcp_sessions.put_answer(tx, name, sealed, until))
        return True

    async def of_result(
        self, x: Exchange, server: Server, target: str, arguments: bytes, result: bytes
    ) -> bytes:
        """A result that asks for input, once every question in it was judged and recorded."""
        found = object_of(Raw(result), "the result")
        wanted = {
            n: object_of(v, n) for n, v in object_of(found.get("inputRequests"), "it").items()
        }
        if len(wanted) > MCP_ASKS_MAX:
            raise Fault(UPSTREAM, f"The server asks more than {MCP_ASKS_MAX} things at once")
        shown: dict[str, bytes] = {}
        for name, one in wanted.items():
            shown[name] = await self._judged(x, server, one)
        members: dict[str, Raw | bytes] = dict(found)
        if shown:
            members["inputRequests"] = joined(shown)
        if "requestState" in found:
            state = await self._sealed(x.caller, target, arguments, bytes(found["requestState"]))
            members["requestState"] = orjson.dumps(state)
        return joined(members)

    async def round(self, x: Exchange, server: Server, result: bytes) -> dict[str, Raw]:
        """What a client of the handshake era answers to a result that asks for input."""
        found = object_of(Raw(result), "the result")
        wanted = object_of(found.get("inputRequests"), "inputRequests")
        answers: dict[str, Raw | bytes] = {}
        for number, (name, raw) in enumerate(wanted.items()):
            one = object_of(raw, name)
            method = _method(one)
            params = bytes(one.get("params", Raw(b"{}")))
            reply = await self.on_stream(x, server, method, params, before=number)
            if reply.result is None:
                said = _words(reply.error)
                raise Fault(UPSTREAM, f"The server `{server.name}` asked and got no answer: {said}")
            answers[name] = reply.result
        more = {"inputResponses": Raw(joined(answers))} if answers else {}
        if "requestState" in found:
            more["requestState"] = found["requestState"]
        return more

    async def _judged(self, x: Exchange, server: Server, one: Members) -> bytes:
        method = _method(one)
        params = bytes(one.get("params", Raw(b"{}")))
        asked = _read(params)
        why = self._problem(x.caller, server, method, asked, len(params))
        if why is None:
            proposal = self._proposal(x.caller, server, method, params)
            outcome = await self.passing.out(proposal, _passed_on)
            why = None if isinstance(outcome, Done) else "it was not permitted"
        if why is not None:
            message = f"The server `{server.name}` asks what it may not: {why}"
            raise Fault(REFUSED, message, {"server": server.name, "method": method[:64]})
        assert asked is not None
        raw: dict[str, Raw | bytes] = dict(one)
        if x.caller.server is None:
            raw["params"] = _named(method, asked, server)
        return joined(raw)

    async def _sealed(self, caller: McpCaller, target: str, arguments: bytes, state: bytes) -> str:
        """A server's state, good for this run, this target and these arguments only, for a while.

        Every agent's call reaches the server under one credential: it could not tell them apart.
        """
        bound = _State(
            run=caller.identity.run,
            target=target,
            digest=hashlib.sha256(arguments).digest(),
            until=self.clock.micros() + MCP_STATE_SECONDS * 1_000_000,
            state=state,
        )
        return seal(await self.keyring.mcp_key(), _STATE, msgspec.msgpack.encode(bound))

    async def resumed(self, x: Exchange, target: str, arguments: bytes) -> Mapping[str, Raw]:
        """The members with which a client calls again: its answers, and the server's own state."""
        more: dict[str, Raw] = {}
        if "inputResponses" in x.params:
            object_of(x.params["inputResponses"], "inputResponses")
            more["inputResponses"] = x.params["inputResponses"]
        if "requestState" not in x.params:
            return more
        shown = orjson.loads(bytes(x.params["requestState"]))
        key = await self.keyring.mcp_key()
        plain = unseal(key, _STATE, shown) if isinstance(shown, str) else None
        bound = None if plain is None else _STATES.decode(plain)
        digest = hashlib.sha256(arguments).digest()
        if (
            bound is None
            or (bound.run, bound.target, bound.digest) != (x.caller.identity.run, target, digest)
            or bound.until <= self.clock.micros()
        ):
            raise Fault(INVALID_PARAMS, "requestState is not one that was given for this request")
        more["requestState"] = Raw(bound.state)
        return more


async def _passed_on(cleared: Cleared) -> Receipt:
    """It goes to the client with the result that holds it; the answer comes with another call."""
    answer = b'{"passed_on":true}'
    return Receipt(status="done", result=answer, content=Content(rest=answer))


def _read(params: bytes) -> Asked | None:
    try:
        return _PLAIN.decode(params or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _members(params: bytes) -> Members:
    return object_of(Raw(params), "params")


def _named(method: str, asked: Asked, server: Server) -> bytes:
    return questions.named(method, asked, server.name)


def _method(one: Members) -> str:
    return text_of(one, "method") or ""


def _words(error: bytes | None) -> str:
    said = orjson.loads(error or b"{}")
    return str(said.get("message", ""))[:200] if isinstance(said, dict) else ""


def _no(code: int, because: str) -> Reply:
    return Reply(error=orjson.dumps({"code": code, "message": because}))
