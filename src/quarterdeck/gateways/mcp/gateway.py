"""`/mcp` and `/mcp/{server}`: one message in, one answer out, as raw ASGI.

INVARIANT (I-15): everything that has an effect is an action and goes through the checkpoint.
INVARIANT: who calls is asked before anything that was sent is read.
"""

from dataclasses import dataclass, replace
from typing import Final

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.dialects.request import Members
from quarterdeck.domain.mcp import headers as mirrored
from quarterdeck.domain.mcp.errors import (
    INVALID_REQUEST,
    UNIDENTIFIED,
    Fault,
    Id,
    unsupported,
)
from quarterdeck.domain.mcp.headers import Told
from quarterdeck.domain.mcp.messages import Message, parse, plain, response
from quarterdeck.domain.mcp.versions import (
    META_CAPABILITIES,
    META_VERSION,
    SPOKEN,
    STATELESS,
    era_of,
)
from quarterdeck.gateways.llm.body import HangUpWatch, HungUp, Receive, Scope, Send
from quarterdeck.gateways.mcp import discovery, requests
from quarterdeck.gateways.mcp.answering import Answering
from quarterdeck.gateways.mcp.asks import Asks
from quarterdeck.gateways.mcp.callers import McpCaller, declared, reachable
from quarterdeck.gateways.mcp.door import Door
from quarterdeck.gateways.mcp.exchange import Exchange
from quarterdeck.gateways.mcp.faults import fault_of, status_of
from quarterdeck.gateways.mcp.methods import Methods
from quarterdeck.gateways.mcp.oauth import Challenged
from quarterdeck.gateways.mcp.open_requests import OpenRequests
from quarterdeck.gateways.mcp.passing import Passing
from quarterdeck.gateways.mcp.places import Places
from quarterdeck.gateways.mcp.sessions import McpSessions
from quarterdeck.gateways.mcp.standing import Standings

#: Methods that become an action: their admission asks whether the credential still lives.
_ACTIONS: Final = frozenset(("tools/call", "resources/read", "prompts/get", "completion/complete"))


@dataclass(slots=True, kw_only=True)
class McpGateway:
    """Serves MCP clients of both eras."""

    checkpoint: Checkpoint
    methods: Methods
    sessions: McpSessions
    asks: Asks
    door: Door
    places: Places
    passing: Passing
    standings: Standings
    open: OpenRequests

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A message from a client."""
        out = Answering(send, streams=requests.takes_events(scope))
        number: Id | None = None
        modern = True
        try:
            caller = await self._let_in(scope)
            message = parse(await requests.body_of(scope, receive))
            number = message.id if message.kind == "request" else None
            told = mirrored.told(scope["headers"])
            params, meta = _opened(message)
            modern = mirrored.is_stateless(told, meta)
            if modern:
                caller = _stateless(caller, told, message, params, meta)
            else:
                caller = replace(caller, era="handshake")
                if message.method != "initialize":
                    caller = await self._in_session(caller, told)
            if message.kind != "request":
                await self._taken(out, caller, message, params)
                return
            x = requests.exchange(scope, caller, message, params, meta, told, out)
            await self._answered(x, receive)
        except HungUp:
            pass
        except Exception as error:  # noqa: BLE001  an entrance answers, whatever broke
            await self._fail(scope, out, fault_of(error), number, modern=modern)

    async def get(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream of a session: what changes, as long as the client listens."""
        out = Answering(send, streams=True)
        try:
            caller, _ = await self._of_session(scope, events=True)
            assert caller.session is not None, "it was found a moment ago"
            async with HangUpWatch(receive):
                await self.methods.watching.follow(caller, caller.session, out)
            await out.close()
        except Exception as error:  # noqa: BLE001  an entrance answers, whatever broke
            await self._fail(scope, out, fault_of(error), None)
        finally:
            out.stop()

    async def delete(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The end of a session."""
        out = Answering(send, streams=False)
        try:
            caller, _ = await self._of_session(scope)
            assert caller.session is not None, "it was found a moment ago"
            await self.sessions.end(caller.session)
            await out.end(b"", status=204)
        except Exception as error:  # noqa: BLE001  an entrance answers, whatever broke
            await self._fail(scope, out, fault_of(error), None)

    async def _let_in(self, scope: Scope) -> McpCaller:
        """Who calls, and where to; servers that an agent has nothing of do not exist for it."""
        self.places.check(scope)
        credential = await self.door.credential(scope)
        identity = await self.checkpoint.identify(credential)
        binding = await self.checkpoint.bindings.of(identity.revision)
        name = (scope.get("path_params") or {}).get("server")
        server = None if name is None else reachable(name, binding)
        if name is not None and server is None:
            raise Fault(INVALID_REQUEST, "No such server", status=404)
        return McpCaller(credential=credential, identity=identity, binding=binding, server=server)

    async def _in_session(self, caller: McpCaller, told: Told) -> McpCaller:
        """The caller as its handshake left it."""
        if told.session is None:
            raise Fault(INVALID_REQUEST, "No session: begin with `initialize`", status=400)
        if told.version is not None and era_of(told.version) != "handshake":
            raise unsupported(told.version[:64], SPOKEN)
        server = "" if caller.server is None else caller.server.name
        session, state = await self.sessions.find(
            told.session, run=caller.identity.run, server=server
        )
        return replace(
            caller,
            version=session.version,
            can=frozenset(session.can),
            session=session,
            level=state.level,
        )

    async def _of_session(self, scope: Scope, *, events: bool = False) -> tuple[McpCaller, Told]:
        """What GET and DELETE are about; the stateless era has neither."""
        caller = await self._let_in(scope)
        told = mirrored.told(scope["headers"])
        if told.session is None or told.version == STATELESS:
            raise Fault(INVALID_REQUEST, "Send a message by POST", status=405)
        if events and not requests.takes_events(scope):
            raise Fault(INVALID_REQUEST, "Accept text/event-stream", status=406)
        await self.standings.check(caller)
        return await self._in_session(caller, told), told

    async def _taken(
        self, out: Answering, caller: McpCaller, message: Message, params: Members
    ) -> None:
        """A notification, or an answer to what a server asked: taken, and not answered."""
        if message.kind == "response":
            if caller.modern or not await self.asks.answered(caller, message):
                raise Fault(INVALID_REQUEST, "Nobody asked for this answer", status=400)
        elif message.method == "notifications/cancelled" and caller.session is not None:
            self.open.cancel(caller, params)
        await out.end(b"", status=202)

    async def _answered(self, x: Exchange, receive: Receive) -> None:
        with self.open.counted(x) as begun:
            async with HangUpWatch(receive):
                with begun.cancellable():
                    await self._answer(x)
            if begun.cancelled:
                await x.out.begin()
                await x.out.close()
        x.out.stop()

    async def _answer(self, x: Exchange) -> None:
        if x.method not in _ACTIONS:
            await self.standings.check(x.caller)
        if x.method == "initialize" and not x.caller.modern:
            result, session = await discovery.initialize(x, self.sessions)
            shown = ((mirrored.SESSION, session.encode()),)
            await x.out.end(response(x.id, result), headers=shown)
            return
        if x.method == "subscriptions/listen" and x.caller.modern:
            await self._listened(x)
            return
        x.out.keep_alive()
        answer = await self.methods.answer(x)
        action = () if answer.action is None else ((requests.ACTION, answer.action.encode()),)
        await x.out.end(response(x.id, answer.result), headers=action)

    async def _listened(self, x: Exchange) -> None:
        if not x.out.streams:
            raise Fault(INVALID_REQUEST, "Accept text/event-stream", status=406)
        x.out.keep_alive()
        await self.methods.watching.listen(x)
        await x.out.end(response(x.id, requests.closing(x.id)))

    async def _fail(
        self, scope: Scope, out: Answering, fault: Fault, number: Id | None, *, modern: bool = True
    ) -> None:
        """The error, in the protocol's own envelope."""
        more: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(fault, Challenged):
            more = ((b"www-authenticate", fault.challenge.encode("latin-1")),)
        elif fault.code == UNIDENTIFIED:
            challenge = await self.door.challenge(scope)
            more = ((b"www-authenticate", challenge.encode("latin-1")),)
        if fault.status == 405:
            more = ((b"allow", b"POST"),)
        status = status_of(fault, modern=modern)
        await out.end(fault.body(number), status=status, headers=more)


def _opened(message: Message) -> tuple[Members, Members]:
    params = message.members()
    return params, mirrored.meta_of(params)


def _stateless(
    caller: McpCaller, told: Told, message: Message, params: Members, meta: Members
) -> McpCaller:
    """The caller as its request says, once the request agrees with itself."""
    if told.version is not None and told.version not in SPOKEN and META_VERSION not in meta:
        raise unsupported(told.version[:64], SPOKEN)
    if message.kind != "request":
        return caller
    mirrored.check(told, message, params, meta)
    can = declared(plain(meta[META_CAPABILITIES], META_CAPABILITIES))
    return replace(caller, era="stateless", version=STATELESS, can=can)
