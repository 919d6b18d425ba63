"""Tools, resources and prompts of MCP servers: what was cleared is asked, once.

INVARIANT: what is asked for is what was cleared; a caller's message adds nothing to it but `Ask`.
INVARIANT: a tool whose definition is not the pinned one is not asked, however far the call got.
Deliberately absent: retries (the checkpoint knows what may be repeated) and what results mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.actions import Cleared, Content, Contract, Receipt
from quarterdeck.domain.definitions import Definition
from quarterdeck.domain.errors import Forbidden, QuarterdeckError
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.limits import EFFECT_SECONDS_MAX, ERROR_CHARACTERS_MAX
from quarterdeck.domain.mcp.asks import Ask, OnSaid, Reply, Said
from quarterdeck.domain.mcp.exchanges import Answered, Wanted, rpc_error
from quarterdeck.domain.mcp.headers import Annotated, annotated, param_headers
from quarterdeck.domain.mcp.messages import joined
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import McpBackend, Tool
from quarterdeck.fleet.contracts import results_misfit
from quarterdeck.upstream.credentials import Credentials
from quarterdeck.upstream.models.lines import Lines
from quarterdeck.upstream.pool import Pool
from quarterdeck.upstream.tools.mcp_catalog import Catalog
from quarterdeck.upstream.tools.mcp_peers import Peers
from quarterdeck.upstream.tools.mcp_process import Home
from quarterdeck.upstream.tools.mcp_running import LIST_CHANGED
from quarterdeck.upstream.tools.mcp_stdio import Resting
from quarterdeck.upstream.tools.receipts import failed, not_attempted
from quarterdeck.upstream.tools.visits import Visit

LAPSED: Final = "the clearance lapsed or something was frozen before it began"
NOT_FITTING: Final = "result does not fit the contract"
#: Effects that can be said not to have happened where a server only failed.
_READS: Final = ("read", "egress")


class _Stopped(Forbidden):
    """It may not begin: the rule that says so, if a rule does."""

    def __init__(self, because: str, rule: str = "") -> None:
        super().__init__(because, hint="propose it again")
        self.rule = rule


class _Result(msgspec.Struct, rename="camel"):
    is_error: bool = False
    structured_content: Raw = Raw(b"")
    result_type: str = "complete"


@dataclass(slots=True, kw_only=True)
class McpTools:
    """Carries out what was cleared at MCP servers.

    A receipt's `result` is the raw JSON of the server's result as it came (a CallToolResult,
    ReadResourceResult, GetPromptResult, …). `status` is `done`; `failed` where the result says
    `isError`, or the server answered an error: then `result` is empty and `detail["rpc"]` is the
    error object (`code`, `message`, and `data` where it is small); `not_attempted` where
    provably nothing was sent: the server is unreachable, its circuit open, its definition not the
    pinned one (`detail["rule"]` is then `quarantine:…`), or the clearance lapsed.
    `TimeoutError` means that it was sent and nobody knows what came of it. A result of the
    stateless era with `resultType` `input_required` is `done`: what it asks for is in it.
    """

    peers: Peers
    catalog: Catalog
    lines: Lines
    bindings: Bindings
    is_current: Callable[[Cleared], bool]

    async def call(self, cleared: Cleared) -> Receipt:
        """Call a tool with the arguments that were cleared, and nothing else."""
        return await self.open(cleared, Ask())

    async def open(self, cleared: Cleared, ask: Ask, on_said: OnSaid | None = None) -> Receipt:
        """One exchange: a tool's call, or any request the contract is a Server for.

        `on_said` is awaited for each notification and each request of the server that comes on
        the exchange's own stream before the answer, in order; without it notifications are
        dropped and requests refused. Cancelling the task cancels the exchange at the server:
        its stream is closed, or it is sent `notifications/cancelled`.
        """
        server, servers = await self._server(cleared)
        tool = cleared.contract if isinstance(cleared.contract, Tool) else None
        try:
            definition = await self._pinned(tool, server, servers)
            wanted = self._wanted(cleared, ask, server, definition, servers)
            async with Visit(cleared, server, self.lines) as made:
                try:
                    hear = self._hearing(server, on_said)
                    answer = await self.peers.ask(cleared, server, wanted, hear)
                except (_Stopped, Resting):
                    raise  # or callers who come too soon would open the circuit
                except (QuarterdeckError, TimeoutError):
                    made.report = "failed"
                    raise
                made.report = "failed" if _is_broken(answer) else "answered"
        except _Stopped as stopped:
            return not_attempted(stopped, {"rule": stopped.rule} if stopped.rule else None)
        except QuarterdeckError as error:
            return not_attempted(error)
        return _receipt(cleared.contract, answer)

    async def close(self) -> None:
        """End every session and every process."""
        await self.catalog.close()
        await self.peers.close()

    async def _server(self, cleared: Cleared) -> tuple[Server, Mapping[ServerName, Server]]:
        """Where the action goes: as the fleet has it that its run is bound to."""
        contract = cleared.contract
        binding = await self.bindings.of(cleared.action.revision)
        servers = binding.fleet.servers
        if isinstance(contract, Server):
            return contract, servers
        assert isinstance(contract, Tool), "a vendor is no server"
        assert isinstance(contract.backend, McpBackend), "only tools of MCP servers come here"
        return servers[contract.backend.server], servers

    async def _pinned(
        self, tool: Tool | None, server: Server, servers: Mapping[ServerName, Server]
    ) -> Definition | None:
        """The definition a tool is called by, looked at lately. Raises _Stopped if not granted."""
        if tool is None:
            return None
        verdict = await self.catalog.fresh(tool, servers)
        if verdict.answer == "deny":
            raise _Stopped(verdict.reasons[0].because, verdict.reasons[0].rule)
        assert isinstance(tool.backend, McpBackend)
        return self.catalog.definition(server, tool.backend.tool)

    def _wanted(
        self,
        cleared: Cleared,
        ask: Ask,
        server: Server,
        definition: Definition | None,
        servers: Mapping[ServerName, Server],
    ) -> Wanted:
        tool = cleared.contract if isinstance(cleared.contract, Tool) else None

        def look() -> None:
            if not self.is_current(cleared):
                raise _Stopped(LAPSED)
            if tool is not None:
                verdict = self.catalog.holding(tool, servers)
                if verdict.answer == "deny":
                    raise _Stopped(verdict.reasons[0].because, verdict.reasons[0].rule)

        default = server.timeout_seconds if tool is None else tool.timeout_seconds
        return Wanted(
            method=ask.method,
            params={**ask.more, **_subject(cleared, ask)},
            meta=ask.meta,
            capabilities=ask.capabilities,
            headers=(*ask.headers, *_repeated(definition, cleared)),
            seconds=None
            if ask.seconds is None
            else min(ask.seconds or default, EFFECT_SECONDS_MAX),
            look=look,
            era=ask.era,
        )

    def _hearing(self, server: Server, on_said: OnSaid | None) -> OnSaid:
        """Hear for ourselves that definitions changed, and hand on."""

        async def hear(said: Said) -> Reply | None:
            if said.method == LIST_CHANGED:
                self.catalog.changed(server)
            try:
                return None if on_said is None else await on_said(said)
            except QuarterdeckError as error:
                # It was asked before it said anything: nobody may say that it was not attempted.
                raise TimeoutError(error.message) from error

        return hear


def connected(
    home: Home,
    pool: Pool,
    *,
    checkpoint: Checkpoint,
    credentials: Credentials,
    lines: Lines,
) -> McpTools:
    """The MCP servers of one process, none of them met yet."""
    clock, bindings = checkpoint.clock, checkpoint.bindings
    peers = Peers(
        pool=pool,
        credentials=credentials,
        bindings=bindings,
        home=home,
        monotonic=clock.monotonic,
    )
    catalog = Catalog(peers=peers, db=checkpoint.db, clock=clock, dice=checkpoint.dice)
    peers.changed = catalog.changed
    checkpoint.quarantine, checkpoint.definition_of = catalog.quarantine, catalog.hash_of
    return McpTools(
        peers=peers,
        catalog=catalog,
        lines=lines,
        bindings=bindings,
        is_current=checkpoint.is_current,
    )


def _receipt(contract: Contract, answer: Answered) -> Receipt:
    tool = contract if isinstance(contract, Tool) else None
    if answer.result is None:
        return _error(tool, answer)
    if tool is None:
        return Receipt(status="done", result=answer.result, content=Content(rest=answer.result))
    result = _parsed(answer.result)
    if result.is_error:
        return failed(tool, "the tool says that it failed", result=answer.result)
    misfit = _misfit(tool, result)
    if misfit is not None:
        return failed(tool, NOT_FITTING, noted=f"{NOT_FITTING}: see {misfit}", result=b"")
    return Receipt(
        status="done",
        result=answer.result,
        content=Content(rest=answer.result),
        cost_nanousd=tool.cost_nanousd,
    )


def _misfit(tool: Tool, result: _Result) -> str | None:
    """Where structured content leaves the contract; what asks for input has none yet."""
    if tool.results is None or result.result_type != "complete":
        return None
    structured = bytes(result.structured_content)
    if not structured:
        return "`/` of its schema (there is no structured content)"
    misfit = results_misfit(tool, orjson.loads(structured), structured)
    return None if misfit is None else f"`/{misfit.rule}` of its schema"


def _subject(cleared: Cleared, ask: Ask) -> dict[str, Raw | bytes]:
    """Which thing is meant, and with which arguments: what was cleared says it, nothing else."""
    action, contract = cleared.action, cleared.contract
    if isinstance(contract, Tool):
        assert isinstance(contract.backend, McpBackend)
        arguments = _with_key(contract, action.arguments, action.id)
        return {"name": orjson.dumps(contract.backend.tool), "arguments": arguments}
    name = orjson.dumps(action.target.partition("/")[2])
    match ask.method:
        case "prompts/get":
            return {"name": name, "arguments": action.arguments or b"{}"}
        case "completion/complete" if action.kind == "prompt":
            return {"ref": joined({"type": b'"ref/prompt"', "name": name})}
        case "completion/complete":
            return {"ref": joined({"type": b'"ref/resource"', "uri": name})}
        case "subscriptions/listen":
            return {"notifications": joined({"resourceSubscriptions": b"[%b]" % name})}
        case _:
            return {"uri": name}


def _with_key(tool: Tool, arguments: bytes, key: str) -> bytes:
    """The arguments as they were cleared, with the key that makes a repeat harmless put in."""
    if tool.key is None or tool.key.place != "argument":
        return arguments or b"{}"
    members: dict[str, Raw | bytes] = dict(msgspec.json.decode(arguments, type=dict[str, Raw]))
    return joined(members | {tool.key.name: orjson.dumps(key)})


def _repeated(definition: Definition | None, cleared: Cleared) -> list[tuple[str, str]]:
    """Headers for arguments that the definition wants repeated there."""
    if definition is None or b"x-mcp-header" not in definition.raw:
        return []
    return param_headers(
        _annotations(definition.hash, definition.raw), orjson.loads(cleared.action.arguments)
    )


@lru_cache(maxsize=1024)
def _annotations(_hash: str, raw: bytes) -> tuple[Annotated, ...]:
    return annotated(orjson.loads(raw).get("inputSchema"))


def _is_broken(answer: Answered) -> bool:
    """Whether it is the server that failed, and not the call."""
    return answer.status >= 500 and not answer.error


def _parsed(raw: bytes) -> _Result:
    try:
        return msgspec.json.decode(raw, type=_Result)
    except (msgspec.DecodeError, RecursionError) as error:
        raise TimeoutError("the server answered a result that nobody can read") from error


def _error(tool: Tool | None, answer: Answered) -> Receipt:
    """An error, in the protocol's words or in HTTP's."""
    detail: dict[str, Any] = {}
    because = f"the server answered HTTP {answer.status}"
    if answer.error:
        error = rpc_error(answer.error)
        because, detail["rpc"] = error.message, error.shown()
    elif answer.status >= 500 and tool is not None and tool.effect not in _READS:
        # Something between us and the tool gave up; the tool may have done its work.
        raise TimeoutError(because)
    if tool is not None:
        return failed(tool, because, detail=detail, result=b"")
    detail["error"] = because[:ERROR_CHARACTERS_MAX]
    return Receipt(status="failed", result=b"", detail=detail)
