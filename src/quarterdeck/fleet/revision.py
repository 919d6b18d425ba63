"""Content addresses: an agent's revision, a tool's digest, a folder's version.

A revision covers all that shapes what an agent does, and nothing else: comments, the order of
keys, prices, owners and other agents leave it as it is. It is SHA-256 over RFC 8785 canonical
JSON, so any language can compute it again. `ADAPTER` changes when the same files would be carried
out differently by a newer Quarterdeck.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

import rfc8785

from quarterdeck.domain.fleets import Agent, Cap, Model, Vendor
from quarterdeck.domain.ids import RevisionHash, ServerName, ToolName, VendorName
from quarterdeck.domain.servers import Server, ServerGrant
from quarterdeck.domain.tools import Backend, HttpBackend, McpBackend, PythonBackend, Records, Tool

ADAPTER: Final = "quarterdeck/1"
ADDRESS_CHARACTERS: Final = 26  # of base32: 130 bits


def address(prefix: str, content: Any) -> str:
    """The content address of a JSON value."""
    digest = hashlib.sha256(rfc8785.dumps(content)).digest()
    return prefix + base64.b32encode(digest).decode().lower()[:ADDRESS_CHARACTERS]


def revision(
    agent: Agent,
    *,
    vendors: Mapping[VendorName, Vendor],
    tools: Mapping[ToolName, Tool],
    servers: Mapping[ServerName, Server],
    quotas: Mapping[str, Any],
) -> RevisionHash:
    """The address of all that shapes the agent; `agent.revision` itself is not looked at."""
    content = {
        "adapter": ADAPTER,
        "agent": agent.name,
        "autonomy": agent.autonomy,
        "caps": _caps(agent.caps),
        "models": [_model(model, vendors) for model in agent.models],
        "prompt": agent.prompt,
        "quotas": dict(quotas),
        "run_seconds_max": agent.run_seconds_max,
        "tools": [tools[name].digest for name in agent.tools],
        "turns_max": agent.turns_max,
    }
    if used := _servers(agent, tools):
        content["servers"] = {name: _server(servers[name]) for name in used}
    if agent.servers:
        content["grants"] = {name: _grant(grant) for name, grant in agent.servers.items()}
    return RevisionHash(address("rev_", content))


def tool_digest(tool: Tool) -> str:
    """The address of a tool's contract and of the code that carries it out."""
    backend = tool.backend
    content: dict[str, Any] = {
        "adapter": ADAPTER,
        "arguments": dict(tool.arguments),
        "cost_nanousd": str(tool.cost_nanousd),
        "description": tool.description,
        "effect": tool.effect,
        "idempotent": tool.idempotent,
        "name": tool.name,
        "python": _python(backend),
        "repeatable": tool.repeatable,
        "results": None if tool.results is None else dict(tool.results),
        "reversible": tool.reversible,
        "timeout_seconds": tool.timeout_seconds,
        "trust": tool.trust,
    }
    # What a contract leaves out is left out here too: contracts written before a field existed
    # keep their address.
    content |= {name: said for name, said in _said(tool).items() if said}
    return address("tool_", content)


def _python(backend: Backend | None) -> list[str] | None:
    if not isinstance(backend, PythonBackend):
        return None
    return [backend.file, backend.function, backend.source]


def _said(tool: Tool) -> dict[str, Any]:
    """The parts of a contract that may be left out."""
    backend = tool.backend
    outside = isinstance(backend, McpBackend | HttpBackend)
    return {
        "backend": outside and _plain(backend),
        "confirm": tool.confirm,
        "control": sorted(tool.control),
        "data": sorted(tool.data),
        "destinations": [_plain(destination) for destination in tool.destinations],
        "ids": sorted(tool.ids),
        "key": tool.key and _plain(tool.key),
        "messages": tool.messages,
        "moves": [_plain(moves) for moves in tool.moves],
        "rates": [_plain(rate) for rate in tool.rates],
        "records": [tool.records.written, tool.records.deleted]
        if tool.records != Records()
        else None,
        "text": sorted(tool.text),
    }


def _plain(value: Any) -> dict[str, Any]:
    return {
        name: dict(said) if isinstance(said, Mapping) else said
        for name, said in asdict(value).items()
    }


def folder_version(files: Mapping[str, bytes]) -> str:
    """The address of a whole folder, byte for byte."""
    content = {path: hashlib.sha256(text).hexdigest() for path, text in files.items()}
    return address("flt_", content)


def _servers(agent: Agent, tools: Mapping[ToolName, Tool]) -> list[ServerName]:
    """The servers an agent's tools and grants are at."""
    backends = [tools[name].backend for name in agent.tools]
    named = {b.server for b in backends if isinstance(b, McpBackend | HttpBackend)}
    return sorted(named | agent.servers.keys())


def _server(server: Server) -> dict[str, Any]:
    # Who answers there shapes an agent; which key opens it, and how long it may take, does not.
    return {
        "command": list(server.command),
        "environment": dict(server.environment),
        "files": {
            path: hashlib.sha256(content).hexdigest() for path, content in server.files.items()
        },
        "protocol": server.protocol,
        "url": server.url,
    }


def _grant(grant: ServerGrant) -> dict[str, Any]:
    return {
        "elicitation": grant.elicitation,
        "prompts": sorted(grant.prompts),
        "resources": sorted(grant.resources),
        "sampling": grant.sampling,
    }


def _model(model: Model, vendors: Mapping[VendorName, Vendor]) -> dict[str, Any]:
    # The same id at another server is another model; which key opens it, and its price, is not.
    content = _at(model.model, vendors[model.vendor]) | {
        "parameters": dict(model.parameters),
        "role": model.role,
    }
    if model.fallback is not None:
        content["fallback"] = _at(model.fallback.model, vendors[model.fallback.vendor])
    return content


def _at(model: str, vendor: Vendor) -> dict[str, Any]:
    return {
        "allow": sorted(vendor.allow),
        "base_url": vendor.base_url,
        "dialect": vendor.dialect,
        "model": model,
        "vendor": vendor.name,
    }


def _caps(caps: Iterable[Cap]) -> list[list[str]]:
    # As text: JSON's integers end at 2**53, nano-USD do not.
    return sorted([cap.unit, cap.period, str(cap.amount)] for cap in caps)
