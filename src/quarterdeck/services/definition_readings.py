"""What is read of tools and servers: contracts beside what was stored of their definitions. Pure,
but for one definition that is looked up by its hash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.domain.definition_diff import Change, visible
from quarterdeck.domain.definition_signs import Sign, shadows, signs
from quarterdeck.domain.definitions import (
    Definition,
    Judgement,
    Releases,
    ServerState,
    granted_hashes,
    judge,
    words_of,
)
from quarterdeck.domain.fleets import Fleet
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import HttpBackend, McpBackend, PythonBackend, Tool
from quarterdeck.store import definitions
from quarterdeck.store.database import Reading, Row

#: Judgements that a person can do something about by releasing what is offered.
RELEASABLE: Final[tuple[Judgement, ...]] = ("drift", "new", "lookalike")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReading:
    """One contract, and for a tool of an MCP server what its server says of it."""

    name: str
    effect: str
    backend: str
    server: str
    tool: str
    #: `ready` for what needs no definition.
    state: str
    because: str
    offered: str
    granted: tuple[str, ...]
    since: int | None
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDetail:
    """A contract with what a person decides by: what changed, and what to look at."""

    reading: ToolReading
    description: str
    changes: tuple[Change, ...]
    #: Whether the granted definition was ever seen here; else all of the offered one is shown.
    is_compared: bool
    signs: tuple[Sign, ...]
    released: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferReading:
    """One tool that a server offers, or offered; `contract` is empty where nobody wrote one."""

    tool: str
    contract: str
    state: str
    because: str
    hash: str
    since: int
    description: str
    signs: tuple[Sign, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReading:
    """One server of the fleet, as this process knows it and as it was stored."""

    name: str
    protocol: str
    where: str
    version: str
    problem: str
    #: When this process looked last; none if it did not.
    listed_at: int | None
    is_running: bool | None
    tools: int
    quarantined: int
    contracts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored, read once for an answer."""

    fleet: Fleet
    releases: Releases
    offers: Mapping[str, Mapping[str, Row]]
    identities: Mapping[str, str]
    names: frozenset[str]
    sees: Callable[[str], bool] = lambda _: True


def reading_of(known: Known, tool: Tool) -> ToolReading:
    """A contract, and what its server says of it."""
    backend = tool.backend
    agents = tuple(
        sorted(
            agent.name
            for agent in known.fleet.agents.values()
            if tool.name in agent.tools and known.sees(agent.team)
        )
    )
    if not isinstance(backend, McpBackend):
        return ToolReading(
            name=tool.name,
            effect=tool.effect,
            backend=_kind(tool),
            server=backend.server if isinstance(backend, HttpBackend) else "",
            tool="",
            state="ready",
            because="it needs no definition",
            offered="",
            granted=(),
            since=None,
            agents=agents,
        )
    identity = known.identities[backend.server]
    row = known.offers[backend.server].get(backend.tool)
    granted = granted_hashes(tool, identity, known.releases)
    judgement = judge(
        _definition(row),
        is_listed=bool(known.offers[backend.server]),
        granted=granted,
        name=backend.tool,
        others=known.names,
    )
    return ToolReading(
        name=tool.name,
        effect=tool.effect,
        backend="mcp",
        server=backend.server,
        tool=backend.tool,
        state=judgement,
        because=words_of(judgement),
        offered="" if row is None or row["gone_at"] is not None else row["hash"],
        granted=tuple(sorted(granted)),
        since=None if row is None else row["gone_at"] or row["since"],
        agents=agents,
    )


def _kind(tool: Tool) -> str:
    match tool.backend:
        case PythonBackend():
            return "python"
        case HttpBackend():
            return "http"
        case _:
            return "agent"


def _definition(row: Row | None) -> Definition | None:
    if row is None or row["gone_at"] is not None:
        return None
    return Definition(name=row["tool"], raw=b"", hash=row["hash"])


def granted_body(tx: Reading, reading: ToolReading, tool: Tool) -> Any:
    """The definition that was granted last, if it was ever seen here."""
    backend = tool.backend
    assert isinstance(backend, McpBackend)
    pins = [] if backend.pin is None else [backend.pin]
    for hash_ in (*(h for h in reading.granted if h not in pins), *pins):
        body = definitions.find_body(tx, hash_)
        if body is not None:
            return parsed(body)
    return None


def parsed(body: str | None) -> Any:
    """A stored definition; nothing if it was not kept."""
    return None if body is None else orjson.loads(body)


def signs_of(known: Known, definition: Mapping[str, Any], server: str) -> tuple[Sign, ...]:
    """What a person should look at before granting a definition."""
    others = [
        (str(tool.backend.server), tool.backend.tool)
        for tool in known.fleet.tools.values()
        if isinstance(tool.backend, McpBackend)
    ]
    return (*signs(definition), *shadows(definition, server, others))


def offer_of(known: Known, server: Server, row: Row) -> OfferReading:
    """A tool as a server offers it."""
    contract = next(
        (
            tool
            for tool in known.fleet.tools.values()
            if isinstance(tool.backend, McpBackend)
            and (tool.backend.server, tool.backend.tool) == (server.name, row["tool"])
        ),
        None,
    )
    granted = (
        frozenset[str]()
        if contract is None
        else granted_hashes(contract, known.identities[server.name], known.releases)
    )
    others = known.names - {row["tool"]}
    judgement = judge(
        _definition(row), is_listed=True, granted=granted, name=row["tool"], others=others
    )
    body = parsed(row["body"]) or {}
    return OfferReading(
        tool=row["tool"],
        contract="" if contract is None else contract.name,
        state=judgement,
        because=words_of(judgement),
        hash=row["hash"],
        since=row["gone_at"] or row["since"],
        description=visible(str(body.get("description", ""))),
        signs=signs_of(known, body, server.name),
    )


def server_of(known: Known, server: Server, state: ServerState | None) -> ServerReading:
    """A server, as it was stored and as this process knows it."""
    readings = [
        reading_of(known, tool)
        for _, tool in sorted(known.fleet.tools.items())
        if isinstance(tool.backend, McpBackend | HttpBackend) and tool.backend.server == server.name
    ]
    offered = known.offers.get(server.name, {})
    return ServerReading(
        name=server.name,
        protocol=server.protocol,
        where=server.url or " ".join(server.command),
        version="" if state is None else state.version,
        problem="" if state is None else state.problem,
        listed_at=None if state is None or not state.listed_at else state.listed_at,
        is_running=None if state is None else state.is_running,
        tools=sum(row["gone_at"] is None for row in offered.values()),
        quarantined=sum(r.state not in ("ready", "pinned", "unknown") for r in readings),
        contracts=tuple(reading.name for reading in readings),
    )
