"""`tools/call`: one action, carried out at the back end its contract names.

What an MCP server answers is passed on as it came. A server of the stateless era that needs input
answers so; a client of the handshake era is then asked on the stream, and the call is made again.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeGuard

from msgspec import Raw

from quarterdeck.domain import tool_results
from quarterdeck.domain.actions import Cleared, Content, Done, Outcome, Proposal, Receipt
from quarterdeck.domain.errors import Conflict
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, NO_TOOL, UPSTREAM, Fault
from quarterdeck.domain.mcp.headers import check_params
from quarterdeck.domain.mcp.messages import joined, plain, text_of
from quarterdeck.domain.tools import McpBackend, Tool
from quarterdeck.domain.verdicts import Verdict
from quarterdeck.gateways.mcp.asks import Asks
from quarterdeck.gateways.mcp.exchange import Answer, Exchange
from quarterdeck.gateways.mcp.forwarding import Forwarding
from quarterdeck.gateways.mcp.listing import ToolListing
from quarterdeck.gateways.mcp.outcomes import of_tool
from quarterdeck.gateways.mcp.passing import Passing

_EMPTY: Final = Raw(b"{}")
#: How often a server may ask a client of the handshake era for more, within one call.
ROUNDS_MAX: Final = 8


@dataclass(slots=True, kw_only=True)
class ToolUse:
    """Calls tools; `use` carries out those that are no MCP server's."""

    listing: ToolListing
    passing: Passing
    asks: Asks
    forwarding: Forwarding
    use: Callable[[Cleared], Awaitable[Receipt]]

    async def call(self, x: Exchange) -> Answer:
        """Answer one `tools/call`."""
        name = text_of(x.params, "name")
        if not name:
            raise Fault(INVALID_PARAMS, "`name` is missing: say which tool to call")
        sent = bytes(x.params.get("arguments", _EMPTY))
        sent = b"{}" if sent == b"null" else sent
        if not sent.startswith(b"{"):
            raise Fault(INVALID_PARAMS, "`arguments` is not an object")
        unknown = Fault(INVALID_PARAMS, f"{NO_TOOL}: {name[:64]}")
        tool = self.listing.find(x.caller, name)
        if tool is None:
            # Refused by the checkpoint like any other, so that it is recorded.
            target = name if x.caller.server is None else f"{x.caller.server.name}/{name}"
            return await self._refused(_proposal(x, target, sent), unknown)
        proposal = _proposal(x, tool.name, sent)
        verdict = await self.listing.quarantine(x.caller, tool)
        if verdict.answer == "deny":
            return await self._refused(proposal, unknown, verdict)
        if x.caller.modern:
            piece = self.listing.piece(x.caller, tool)
            if piece is not None and piece[1]:
                check_params(x.told, piece[1], plain(sent, "`arguments`"))
        try:
            return await self._carried_out(x, tool, proposal, unknown)
        except Conflict as error:
            because = f"{error.message} ({error.hint})" if error.hint else error.message
            return Answer(tool_results.of_failure(because, {}))

    async def _refused(self, proposal: Proposal, unknown: Fault, *findings: Verdict) -> Answer:
        outcome = await self.passing.out(replace(proposal, findings=findings), _never)
        return of_tool(outcome, unknown, raw=False)

    async def _carried_out(
        self, x: Exchange, tool: Tool, proposal: Proposal, unknown: Fault
    ) -> Answer:
        backend = tool.backend
        if not isinstance(backend, McpBackend):
            return of_tool(await self.passing.out(proposal, self.use), unknown, raw=False)
        server = x.caller.binding.fleet.servers[backend.server]
        more: Mapping[str, Raw] = {}
        if x.caller.modern:
            more = await self.asks.resumed(x, tool.name, proposal.arguments)
        for _ in range(ROUNDS_MAX):
            effect = self.forwarding.effect(x, server, "tools/call", more)
            outcome = await self.passing.out(_again(proposal, more), effect)
            if not _asks_back(outcome):
                return of_tool(outcome, unknown, raw=True)
            result = outcome.receipt.result
            if x.caller.modern:
                asked = await self.asks.of_result(x, server, tool.name, proposal.arguments, result)
                return Answer(asked, outcome.action.id)
            more = await self.asks.round(x, server, result)
        raise Fault(UPSTREAM, f"The server asked for more {ROUNDS_MAX} times")


def _proposal(x: Exchange, target: str, arguments: bytes) -> Proposal:
    return Proposal(
        credential=x.caller.credential,
        kind="tool",
        target=target,
        arguments=arguments,
        content=Content(rest=arguments),
        idempotency_key=x.idempotency_key(),
        approval=x.approval_id(),
    )


def _again(proposal: Proposal, more: Mapping[str, Raw]) -> Proposal:
    """The same call with answers to what was asked: another action, and the same one if repeated.

    Else a write would be taken for the one that asked, and answered with its question.
    """
    if not more:
        return proposal
    answers = joined(more)
    digest = hashlib.sha256((proposal.idempotency_key or "").encode() + b"\0" + answers)
    return replace(
        proposal,
        idempotency_key=f"mcp:{digest.hexdigest()}",
        content=Content(parts=(answers,), rest=proposal.arguments),
    )


def _asks_back(outcome: Outcome) -> TypeGuard[Done]:
    return (
        isinstance(outcome, Done)
        and outcome.receipt.status == "done"
        and tool_results.kind_of(outcome.receipt.result) == "input_required"
    )


async def _never(cleared: Cleared) -> Receipt:
    raise AssertionError("what nobody granted is refused before it has an effect")
