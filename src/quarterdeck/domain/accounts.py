"""Accounts at upstreams: which secret stands for one, and which agents act through it. Pure.

Two agents with one account cannot be told apart where they act, and cannot be shut out alone.
"""

from quarterdeck.domain.fleets import Agent, Fleet
from quarterdeck.domain.tools import HttpBackend, McpBackend, Tool


def named(fleet: Fleet) -> set[str]:
    """Every secret that the fleet names."""
    found = {vendor.secret for vendor in fleet.vendors.values()}
    found |= {tool.secret for tool in fleet.tools.values()}
    for server in fleet.servers.values():
        found |= {server.secret, *server.secrets.values()}
    for agent in fleet.agents.values():
        found |= {grant.secret for grant in agent.servers.values()}
    return {name for name in found if name is not None}


def shared(fleet: Fleet) -> dict[str, set[str]]:
    """The secrets that more than one agent acts through, with those agents."""
    users: dict[str, set[str]] = {}
    for agent in fleet.agents.values():
        for name in _used(agent, fleet):
            users.setdefault(name, set()).add(agent.name)
    return {name: agents for name, agents in sorted(users.items()) if len(agents) > 1}


def account(agent: Agent, tool: Tool, fleet: Fleet) -> str | None:
    """The secret behind a tool: the agent's own at its server, the tool's, or the server's."""
    if not isinstance(tool.backend, McpBackend | HttpBackend):
        return None
    grant = agent.servers.get(tool.backend.server)
    own = None if grant is None else grant.secret
    return own or tool.secret or fleet.servers[tool.backend.server].secret


def _used(agent: Agent, fleet: Fleet) -> set[str]:
    vendors = {m.vendor for m in agent.models}
    vendors |= {m.fallback.vendor for m in agent.models if m.fallback is not None}
    found = {fleet.vendors[name].secret for name in vendors}
    tools = [fleet.tools[name] for name in agent.tools if name in fleet.tools]
    found |= {account(agent, tool, fleet) for tool in tools}
    servers = {t.backend.server for t in tools if isinstance(t.backend, McpBackend | HttpBackend)}
    for name in servers | set(agent.servers):
        server = fleet.servers[name]
        grant = agent.servers.get(name)
        own = None if grant is None else grant.secret
        if name in agent.servers:
            found.add(own or server.secret)
        found |= set(server.secrets.values())
    return {name for name in found if name is not None}
