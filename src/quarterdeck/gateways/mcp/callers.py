"""Who calls: a run, through which endpoint, in which era, and what its client can be asked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.limits import MCP_CLIENT_CHARACTERS_MAX
from quarterdeck.domain.mcp.versions import Era
from quarterdeck.domain.runs import RunIdentity
from quarterdeck.domain.servers import Server, ServerGrant
from quarterdeck.domain.tools import McpBackend
from quarterdeck.gateways.mcp.sessions import Session

#: What a client can be asked, as it declares it: a capability, and what it says more of it.
_DECLARED: Final = {
    "elicitation": ("form", "url"),
    "sampling": ("tools", "context"),
    "roots": ("listChanged",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class McpCaller:
    """One run at one endpoint; `server` is None where all of the agent's tools are served."""

    credential: str = field(repr=False)
    identity: RunIdentity
    binding: Binding
    server: Server | None
    era: Era = "stateless"
    version: str = ""
    can: frozenset[str] = frozenset()
    session: Session | None = None
    level: str | None = None

    @property
    def modern(self) -> bool:
        """Whether this is the stateless era."""
        return self.era == "stateless"

    def grants(self) -> list[tuple[Server, ServerGrant]]:
        """What the agent may use of servers besides tools, at this endpoint."""
        agent, fleet = self.binding.agent, self.binding.fleet
        return [
            (fleet.servers[name], grant)
            for name, grant in sorted(agent.servers.items())
            if self.server is None or name == self.server.name
        ]


def reachable(name: str, binding: Binding) -> Server | None:
    """The MCP server of that name, if the agent has anything there; else it does not exist."""
    server = binding.fleet.servers.get(ServerName(name))
    if server is None or server.protocol != "mcp":
        return None
    if server.name in binding.agent.servers:
        return server
    for tool in binding.agent.tools:
        backend = binding.fleet.tools[tool].backend
        if isinstance(backend, McpBackend) and backend.server == server.name:
            return server
    return None


def declared(capabilities: Any) -> frozenset[str]:
    """What a client's capabilities say it can be asked, as names like `elicitation.form`."""
    found: set[str] = set()
    if not isinstance(capabilities, dict):
        return frozenset()
    for name, parts in _DECLARED.items():
        more = capabilities.get(name)
        if not isinstance(more, dict):
            continue
        found.add(name)
        found |= {f"{name}.{part}" for part in parts if more.get(part) not in (None, False)}
    if "elicitation" in found and "elicitation.url" not in found:
        found.add("elicitation.form")  # what says nothing more means forms
    return frozenset(found)


def as_capabilities(can: Iterable[str]) -> bytes:
    """The same, as a client would say it."""
    said: dict[str, dict[str, Any]] = {}
    for name in sorted(can):
        first, _, part = name.partition(".")
        of_it = said.setdefault(first, {})
        if part:
            of_it[part] = True if part == "listChanged" else {}
    return orjson.dumps(said)


def client_name(info: Any) -> str:
    """What a client calls itself, short and for show only."""
    if not isinstance(info, dict):
        return ""
    told = f"{info.get('name', '')} {info.get('version', '')}"
    return "".join(c for c in told if c.isprintable())[:MCP_CLIENT_CHARACTERS_MAX].strip()
