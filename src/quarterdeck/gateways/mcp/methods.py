"""The methods of both eras, by name: what each answers, and what makes it exist for a caller."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import orjson
from msgspec.structs import replace

from quarterdeck.domain import tool_results
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, Fault, unknown_method
from quarterdeck.domain.mcp.messages import text_of
from quarterdeck.gateways.mcp import discovery
from quarterdeck.gateways.mcp.calls import ToolUse
from quarterdeck.gateways.mcp.exchange import Answer, Exchange
from quarterdeck.gateways.mcp.forwarding import LEVELS
from quarterdeck.gateways.mcp.listing import ToolListing
from quarterdeck.gateways.mcp.reading import Readings
from quarterdeck.gateways.mcp.sessions import McpSessions
from quarterdeck.gateways.mcp.watching import Watching

Method: TypeAlias = Callable[[Exchange], Awaitable[Answer]]
_NOTHING: Final = Answer(b"{}")
#: A list is the caller's own, and old at once: grants, freezes and definitions change it.
_FRESHNESS: Final = b',"ttlMs":0,"cacheScope":"private","resultType":"complete"'
_READ_AS: Final = {"ttlMs": b"0", "cacheScope": b'"private"'}


@dataclass(slots=True, kw_only=True)
class Methods:
    """Answers requests."""

    listing: ToolListing
    use: ToolUse
    readings: Readings
    sessions: McpSessions
    watching: Watching
    _both: dict[str, Method] = field(init=False)
    _legacy: dict[str, Method] = field(init=False)

    def __post_init__(self) -> None:
        self._both = {
            "tools/list": self._tools,
            "tools/call": self.use.call,
            "resources/list": self._resources,
            "resources/templates/list": self._templates,
            "resources/read": self._read,
            "prompts/list": self._prompts,
            "prompts/get": self.readings.prompt,
            "completion/complete": self.readings.complete,
        }
        self._legacy = {
            "ping": self._ping,
            "logging/setLevel": self._level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
        }

    async def answer(self, x: Exchange) -> Answer:
        """Answer one request; raises Fault where there is no such method for this caller."""
        if x.caller.modern and x.method == "server/discover":
            return Answer(discovery.discover(x))
        method = self._both.get(x.method)
        if method is None and not x.caller.modern:
            method = self._legacy.get(x.method)
        if method is None or not _exists(x):
            raise unknown_method(x.method)
        found = await method(x)
        if x.caller.modern:
            return Answer(tool_results.with_type(found.result), found.action)
        return found

    async def _tools(self, x: Exchange) -> Answer:
        return _page(x, b"tools", *await self.listing.page(x.caller, text_of(x.params, "cursor")))

    async def _resources(self, x: Exchange) -> Answer:
        found = await self.readings.resources(x.caller, text_of(x.params, "cursor"))
        return _page(x, b"resources", *found)

    async def _templates(self, x: Exchange) -> Answer:
        found = await self.readings.templates(x.caller, text_of(x.params, "cursor"))
        return _page(x, b"resourceTemplates", *found)

    async def _prompts(self, x: Exchange) -> Answer:
        found = await self.readings.prompts(x.caller, text_of(x.params, "cursor"))
        return _page(x, b"prompts", *found)

    async def _read(self, x: Exchange) -> Answer:
        found = await self.readings.read(x)
        if not x.caller.modern or tool_results.kind_of(found.result) != "complete":
            return found
        return Answer(tool_results.with_members(found.result, _READ_AS), found.action)

    async def _ping(self, x: Exchange) -> Answer:
        return _NOTHING

    async def _level(self, x: Exchange) -> Answer:
        level = text_of(x.params, "level")
        if level not in LEVELS:
            raise Fault(INVALID_PARAMS, f"`level` is one of {', '.join(LEVELS)}")
        assert x.caller.session is not None, "methods of sessions have one"
        await self.sessions.change(x.caller.session, lambda state: replace(state, level=level))
        return _NOTHING

    async def _subscribe(self, x: Exchange) -> Answer:
        await self.watching.subscribe(x)
        return _NOTHING

    async def _unsubscribe(self, x: Exchange) -> Answer:
        await self.watching.unsubscribe(x)
        return _NOTHING


def _exists(x: Exchange) -> bool:
    """Whether anything granted would answer: what was not announced is unknown."""
    if x.method.startswith("resources/"):
        return discovery.has_resources(x.caller)
    if x.method.startswith("prompts/"):
        return discovery.has_prompts(x.caller)
    if x.method == "completion/complete":
        return discovery.has_prompts(x.caller) or discovery.has_resources(x.caller)
    return True


def _page(x: Exchange, name: bytes, shown: bytes, cursor: str | None) -> Answer:
    result = b'{"' + name + b'":[' + shown + b"]"
    if cursor is not None:
        result += b',"nextCursor":' + orjson.dumps(cursor)
    return Answer(result + (_FRESHNESS if x.caller.modern else b"") + b"}")
