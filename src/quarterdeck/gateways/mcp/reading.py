"""Resources, prompts and completion: only what is granted is listed and served.

Each use is an action at the server that was granted for it. At `/mcp`, where several servers meet,
a prompt that two of them are granted for is called `server.prompt`; a resource is the first one's,
by the servers' names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from msgspec import Raw

from quarterdeck.domain import tool_results
from quarterdeck.domain.actions import Cleared, Content, Proposal, Receipt
from quarterdeck.domain.definitions import Listed, Offer
from quarterdeck.domain.grants import permits
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.mcp import errors
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, UPSTREAM, Fault
from quarterdeck.domain.mcp.messages import joined, object_of, plain, text_of
from quarterdeck.domain.servers import ServerGrant
from quarterdeck.gateways.mcp.asks import Asks
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.gateways.mcp.exchange import Answer, Exchange
from quarterdeck.gateways.mcp.forwarding import Forwarding
from quarterdeck.gateways.mcp.listing import look, page
from quarterdeck.gateways.mcp.outcomes import of_reading
from quarterdeck.gateways.mcp.passing import Passing
from quarterdeck.upstream.tools.mcp_catalog import Catalog

_EMPTY: Final = Raw(b"{}")
_NOBODY: Final = "-"  # no server can be called so: what is asked of nobody is refused, and recorded


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something granted is: its server, and its name there."""

    server: str
    name: str


@dataclass(slots=True, kw_only=True)
class Readings:
    """Lists and serves what servers offer besides tools."""

    catalog: Catalog
    passing: Passing
    asks: Asks
    forwarding: Forwarding

    async def resources(self, caller: McpCaller, cursor: str | None) -> tuple[bytes, str | None]:
        """Granted resources that their servers list."""
        return await self._page(caller, cursor, "resource", lambda listed: listed.resources)

    async def templates(self, caller: McpCaller, cursor: str | None) -> tuple[bytes, str | None]:
        """Templates that are granted whole."""
        return await self._page(caller, cursor, "resource", lambda listed: listed.templates)

    async def prompts(self, caller: McpCaller, cursor: str | None) -> tuple[bytes, str | None]:
        """Granted prompts, by the names they have here."""
        return await self._page(caller, cursor, "prompt", lambda listed: listed.prompts)

    async def _page(
        self,
        caller: McpCaller,
        cursor: str | None,
        kind: str,
        offers: Callable[[Listed], tuple[Offer, ...]],
    ) -> tuple[bytes, str | None]:
        granted = {server.name: (server, grant) for server, grant in caller.grants()}
        servers = [server for server, grant in granted.values() if _has(grant, kind)]
        found: dict[str, bytes] = {}
        for listed in await look(servers, self.catalog):
            grant = granted[listed.server][1]
            for offer in offers(listed):
                if permits(grant, kind, offer.key):
                    name = _name_here(caller, listed.server, kind, offer.key)
                    found.setdefault(name, _renamed(offer, name, kind))
        return page(sorted(found), cursor, found.get)

    async def read(self, x: Exchange) -> Answer:
        """`resources/read`."""
        uri = _wanted(x, "uri")
        place = resource_at(x.caller, uri)
        return await self._used(x, "resource", place, no_resource(x.caller, uri), "resources/read")

    async def prompt(self, x: Exchange) -> Answer:
        """`prompts/get`."""
        name = _wanted(x, "name")
        arguments = plain(x.params.get("arguments", _EMPTY), "`arguments`")
        if not isinstance(arguments, dict):
            raise Fault(INVALID_PARAMS, "`arguments` is not an object")
        unknown = Fault(INVALID_PARAMS, f"{errors.NO_PROMPT}: {name[:64]}")
        return await self._used(x, "prompt", prompt_at(x.caller, name), unknown, "prompts/get")

    async def complete(self, x: Exchange) -> Answer:
        """`completion/complete`: under the grant of the prompt or the template it completes."""
        ref = object_of(x.params.get("ref"), "`ref`")
        kind = text_of(ref, "type")
        if kind == "ref/prompt":
            name = text_of(ref, "name") or ""
            unknown = Fault(INVALID_PARAMS, f"{errors.NO_PROMPT}: {name[:64]}")
            place = prompt_at(x.caller, name)
            return await self._used(x, "prompt", place, unknown, x.method)
        if kind == "ref/resource":
            uri = text_of(ref, "uri") or ""
            place = resource_at(x.caller, uri)
            return await self._used(x, "resource", place, no_resource(x.caller, uri), x.method)
        raise Fault(INVALID_PARAMS, "`ref` is neither a prompt nor a resource template")

    async def _used(
        self, x: Exchange, kind: str, place: _Place, unknown: Fault, method: str
    ) -> Answer:
        """One use of something, as an action."""
        arguments = bytes(x.params.get("arguments", _EMPTY))
        said = {n: raw for n, raw in x.params.items() if n != "_meta"}
        target = f"{place.server}/{place.name}"
        completing = method == "completion/complete"
        more: Mapping[str, Raw] = (
            {n: x.params[n] for n in ("argument", "context") if n in x.params}
            if completing
            else await self.asks.resumed(x, target, arguments)
        )
        proposal = Proposal(
            credential=x.caller.credential,
            kind="prompt" if kind == "prompt" else "resource",
            target=target,
            arguments=arguments,
            content=Content(rest=joined(said)),
            idempotency_key=x.idempotency_key(),
        )
        server = x.caller.binding.fleet.servers.get(ServerName(place.server))
        effect = _never if server is None else self.forwarding.effect(x, server, method, more)
        outcome = await self.passing.out(proposal, effect)
        answer = of_reading(outcome, unknown)
        if server is not None and not completing and _asks_back(answer):
            if not x.caller.modern:
                raise Fault(UPSTREAM, "The server asks for input in a way this client cannot give")
            asked = await self.asks.of_result(x, server, target, arguments, answer.result)
            return Answer(asked, answer.action)
        return answer


def resource_at(caller: McpCaller, uri: str) -> _Place:
    """Where a resource is read, by the grants alone."""
    for server, grant in caller.grants():
        if permits(grant, "resource", uri):
            return _Place(server.name, uri)
    return _Place(_NOBODY if caller.server is None else caller.server.name, uri)


def prompt_at(caller: McpCaller, name: str) -> _Place:
    """Where a prompt is, by the name it has here."""
    for server, grant in caller.grants():
        for prompt in grant.prompts:
            if _name_here(caller, server.name, "prompt", prompt) == name:
                return _Place(server.name, prompt)
    return _Place(_NOBODY if caller.server is None else caller.server.name, name)


def no_resource(caller: McpCaller, uri: str) -> Fault:
    """What every resource is that is not there for this caller."""
    code = INVALID_PARAMS if caller.modern else errors.RESOURCE_NOT_FOUND
    return Fault(code, errors.NO_RESOURCE, {"uri": uri[:1000]})


def _name_here(caller: McpCaller, server: str, kind: str, name: str) -> str:
    if kind != "prompt" or caller.server is not None:
        return name
    granted = [grant for _, grant in caller.grants() if name in grant.prompts]
    return name if len(granted) == 1 else f"{server}.{name}"


def _renamed(offer: Offer, name: str, kind: str) -> bytes:
    if kind != "prompt" or offer.key == name:
        return offer.raw
    return orjson.dumps(orjson.loads(offer.raw) | {"name": name})


def _has(grant: ServerGrant, kind: str) -> bool:
    return bool(grant.resources if kind == "resource" else grant.prompts)


def _wanted(x: Exchange, member: str) -> str:
    found = text_of(x.params, member)
    if not found:
        raise Fault(INVALID_PARAMS, f"`{member}` is missing")
    return found


def _asks_back(answer: Answer) -> bool:
    return tool_results.kind_of(answer.result) == "input_required"


async def _never(cleared: Cleared) -> Receipt:
    raise AssertionError("what nobody granted is refused before it has an effect")
