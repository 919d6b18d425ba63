"""What one MCP server offers, listed page by page. Definitions that did not change are kept as they
are, so that looking again and again costs a comparison of bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain.definitions import UNPINNABLE, Definition, Listed, Offer, hash_of
from quarterdeck.domain.limits import (
    DEFINITION_BYTES_MAX,
    DEFINITIONS_PAGES_MAX,
    DEFINITIONS_PER_SERVER_MAX,
)
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, METHOD_NOT_FOUND
from quarterdeck.domain.mcp.exchanges import (
    Answered,
    Discovered,
    Unreadable,
    Wanted,
    rpc_error,
)
from quarterdeck.domain.mcp.headers import annotated
from quarterdeck.domain.servers import Server

AskList: TypeAlias = Callable[[Wanted], Awaitable[Answered]]
_HASHED_AT_ONCE: Final = 8  # definitions, before others have their turn


class _Page(msgspec.Struct, rename="camel"):
    tools: list[Raw] = []
    resources: list[Raw] = []
    resource_templates: list[Raw] = []
    prompts: list[Raw] = []
    next_cursor: str | None = None


class _Key(msgspec.Struct, rename="camel"):
    name: str = ""
    uri: str = ""
    uri_template: str = ""


async def listed(
    server: Server, said: Discovered, ask: AskList, *, before: Listed, now: int
) -> Listed:
    """All that a server offers. Raises Unreadable where a list is none."""
    offers = set(_capabilities(said.capabilities))
    tools = await _all(ask, "tools/list", "tools") if "tools" in offers else []
    resources, templates, prompts = [], [], []
    if "resources" in offers:
        resources = await _all(ask, "resources/list", "resources")
        templates = await _all(ask, "resources/templates/list", "resource_templates")
    if "prompts" in offers:
        prompts = await _all(ask, "prompts/list", "prompts")
    return Listed(
        server=server.name,
        version=said.version,
        capabilities=said.capabilities,
        instructions=said.instructions,
        info=said.info,
        tools=await _definitions(tools, before),
        resources=_offers(resources, "uri"),
        templates=_offers(templates, "uri_template"),
        prompts=_offers(prompts, "name"),
        listed_at=now,
    )


def _capabilities(raw: bytes) -> list[str]:
    try:
        return list(msgspec.json.decode(raw, type=dict[str, Raw]))
    except msgspec.DecodeError:
        return []


async def _all(ask: AskList, method: str, member: str) -> list[Raw]:
    """Every page of one list, as far as a list may go."""
    found: list[Raw] = []
    cursor: str | None = None
    for _ in range(DEFINITIONS_PAGES_MAX):
        params = {} if cursor is None else {"cursor": orjson.dumps(cursor)}
        answer = await ask(Wanted(method=method, params=params))
        if answer.result is None:
            error = rpc_error(answer.error) if answer.error else None
            if error is not None and error.code in (METHOD_NOT_FOUND, INVALID_PARAMS):
                return found
            because = error.message[:120] if error is not None else f"HTTP {answer.status}"
            raise Unreadable(f"it refused {method}: {because}")
        try:
            page = msgspec.json.decode(answer.result, type=_Page)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unreadable(f"what it answers to {method} is no list") from error
        found += getattr(page, member)
        if len(found) > DEFINITIONS_PER_SERVER_MAX:
            raise Unreadable(f"it lists more than {DEFINITIONS_PER_SERVER_MAX} ({method})")
        cursor = page.next_cursor
        if not cursor:
            return found
    raise Unreadable(f"its list has more than {DEFINITIONS_PAGES_MAX} pages ({method})")


async def _definitions(raws: list[Raw], before: Listed) -> tuple[Definition, ...]:
    known = {definition.raw: definition for definition in before.tools}
    found: dict[str, Definition] = {}
    fresh = 0
    for raw in raws:
        body = bytes(raw)
        definition = known.get(body)
        if definition is None:
            definition = _definition(body)
            fresh += 1
            if fresh % _HASHED_AT_ONCE == 0:
                await asyncio.sleep(0)
        if definition.name in found:
            # Two of one name: nobody can say which of them a call would reach.
            other = found[definition.name]
            definition = Definition(name=other.name, raw=other.raw, hash=UNPINNABLE)
        found[definition.name] = definition
    return tuple(found.values())


def _definition(raw: bytes) -> Definition:
    if len(raw) > DEFINITION_BYTES_MAX:
        name = _key(raw, "name")
        return Definition(name=name, raw=b'{"name":%b}' % orjson.dumps(name), hash=UNPINNABLE)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Unreadable("it defines a tool in what cannot be read") from None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise Unreadable("it defines a tool without a name")
    found = hash_of(value)
    try:
        annotated(value.get("inputSchema"))
    except (ValueError, RecursionError):
        found = UNPINNABLE  # the protocol says that such a definition must not be used
    return Definition(name=value["name"], raw=raw, hash=found)


def _offers(raws: list[Raw], member: str) -> tuple[Offer, ...]:
    found = (Offer(key=_key(bytes(raw), member), raw=bytes(raw)) for raw in raws)
    return tuple(offer for offer in found if offer.key and len(offer.raw) <= DEFINITION_BYTES_MAX)


def _key(raw: bytes, member: str) -> str:
    try:
        return str(getattr(msgspec.json.decode(raw, type=_Key), member))
    except (msgspec.DecodeError, RecursionError):
        return ""
