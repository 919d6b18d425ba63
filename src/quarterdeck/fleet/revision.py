"""Content addresses: an agent's revision, a tool's digest, a folder's version.

A revision covers all that shapes what an agent does, and nothing else: comments, the order of
keys, prices, owners and other agents leave it as it is. It is SHA-256 over RFC 8785 canonical
JSON, so any language can compute it again. `ADAPTER` changes when the same files would be carried
out differently by a newer Quarterdeck.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import rfc8785

from quarterdeck.domain.fleets import Agent, Cap, Model, Tool, Vendor
from quarterdeck.domain.ids import RevisionHash, ToolName, VendorName

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
    return RevisionHash(address("rev_", content))


def tool_digest(tool: Tool) -> str:
    """The address of a tool's contract and of the code that carries it out."""
    backend = tool.backend
    content = {
        "adapter": ADAPTER,
        "arguments": dict(tool.arguments),
        "cost_nanousd": str(tool.cost_nanousd),
        "description": tool.description,
        "effect": tool.effect,
        "idempotent": tool.idempotent,
        "name": tool.name,
        "python": backend and [backend.file, backend.function, backend.source],
        "repeatable": tool.repeatable,
        "results": None if tool.results is None else dict(tool.results),
        "reversible": tool.reversible,
        "timeout_seconds": tool.timeout_seconds,
        "trust": tool.trust,
    }
    return address("tool_", content)


def folder_version(files: Mapping[str, bytes]) -> str:
    """The address of a whole folder, byte for byte."""
    content = {path: hashlib.sha256(text).hexdigest() for path, text in files.items()}
    return address("flt_", content)


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
