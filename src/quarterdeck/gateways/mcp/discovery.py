"""What this server says of itself: by a handshake, or when it is asked.

It has what the caller was granted. What its servers say as instructions is not passed on: nobody
pinned it, and it would be read by a model.
"""

from typing import Any, Final

import orjson

from quarterdeck import __version__
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, Fault
from quarterdeck.domain.mcp.messages import META_SERVER, object_of, plain, text_of
from quarterdeck.domain.mcp.versions import HANDSHAKE, SPOKEN
from quarterdeck.gateways.mcp.callers import McpCaller, client_name, declared
from quarterdeck.gateways.mcp.exchange import Exchange
from quarterdeck.gateways.mcp.sessions import McpSessions

_CHANGES: Final = {"listChanged": True}


def has_prompts(caller: McpCaller) -> bool:
    """Whether any prompt is granted here."""
    return any(grant.prompts for _, grant in caller.grants())


def has_resources(caller: McpCaller) -> bool:
    """Whether any resource is granted here."""
    return any(grant.resources for _, grant in caller.grants())


def capabilities(caller: McpCaller) -> dict[str, Any]:
    """What can be asked here: a method outside of this is unknown."""
    found: dict[str, Any] = {"tools": _CHANGES, "logging": {}}
    if has_prompts(caller):
        found["prompts"] = _CHANGES
    if has_resources(caller):
        found["resources"] = _CHANGES | {"subscribe": True}
    if has_prompts(caller) or has_resources(caller):
        found["completions"] = {}
    return found


def info(caller: McpCaller) -> dict[str, str]:
    """Who this is."""
    name = "quarterdeck" if caller.server is None else f"quarterdeck/{caller.server.name}"
    return {"name": name, "title": "Quarterdeck", "version": __version__}


def discover(x: Exchange) -> bytes:
    """`server/discover`, of the stateless era."""
    return orjson.dumps(
        {
            "resultType": "complete",
            "supportedVersions": SPOKEN,
            "capabilities": capabilities(x.caller),
            "_meta": {META_SERVER: info(x.caller)},
            "ttlMs": 0,
            "cacheScope": "private",
        }
    )


async def initialize(x: Exchange, sessions: McpSessions) -> tuple[bytes, str]:
    """The handshake, and the id of the session that it begins."""
    asked = text_of(x.params, "protocolVersion")
    if asked is None:
        raise Fault(INVALID_PARAMS, "`protocolVersion` is missing")
    version = asked if asked in HANDSHAKE else HANDSHAKE[0]
    object_of(x.params.get("capabilities"), "`capabilities`")
    can = declared(plain(x.params.get("capabilities", b"{}"), "`capabilities`"))
    session = sessions.begun(
        run=x.caller.identity.run,
        server="" if x.caller.server is None else x.caller.server.name,
        version=version,
        can=tuple(sorted(can)),
        client=client_name(plain(x.params.get("clientInfo", b"{}"), "`clientInfo`")),
    )
    result = {
        "protocolVersion": version,
        "capabilities": capabilities(x.caller),
        "serverInfo": info(x.caller),
    }
    return orjson.dumps(result), await sessions.open(session)
