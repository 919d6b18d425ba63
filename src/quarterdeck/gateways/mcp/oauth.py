"""Quarterdeck as an OAuth resource server for people's own MCP clients (RFC 9728, RFC 6750).

What a client is told: whom to ask for a token, for which resource and scopes, and why the token
it has is not taken. It names nothing that a 401 does not.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import orjson

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.fleets import Fleet, SignIn
from quarterdeck.domain.mcp.errors import FORBIDDEN, UNIDENTIFIED, Fault
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.gateways.llm.routes import Endpoint

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
#: Whoever is not one of the fleet's people, and whoever lacks a scope, is told the same.
_FORBIDDEN: Final = "this token does not let its bearer in here"
_INVALID: Final = "this token is not good here"


class Challenged(Fault):
    """A caller who showed something that does not let them in, with what is asked for instead."""

    def __init__(self, code: int, message: str, challenge: str) -> None:
        super().__init__(code, message)
        self.challenge = challenge


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """What a client is told of this resource server (RFC 9728); nothing where nobody vouches."""

    bindings: Bindings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The metadata, for anybody: it names nothing that a 401 does not."""
        fleet = await self.bindings.in_force()
        known = fleet is not None and fleet.sign_in is not None
        body = orjson.dumps(_metadata(fleet) if fleet is not None and known else {})
        said = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"access-control-allow-origin", b"*"),
            (b"cache-control", b"no-store"),
        ]
        status = 200 if known else 404
        await send({"type": "http.response.start", "status": status, "headers": said})
        await send({"type": "http.response.body", "body": body})


def endpoints(bindings: Bindings) -> dict[tuple[str, str], Endpoint]:
    """The routes of the metadata: of the host, and of the path that MCP is served at."""
    metadata = ResourceMetadata(bindings)
    return {("GET", path): metadata for path in (WELL_KNOWN, f"{WELL_KNOWN}/mcp")}


def _metadata(fleet: Fleet) -> dict[str, object]:
    sign_in = fleet.sign_in
    assert sign_in is not None
    return {
        "resource": sign_in.audience,
        "authorization_servers": [sign_in.issuer],
        "scopes_supported": list(sign_in.scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": fleet.name,
    }


def metadata_url(audience: str) -> str:
    """Where the metadata of a resource is (RFC 9728 §3.1)."""
    parts = urlsplit(audience)
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.rstrip('/')}"


def invalid(sign_in: SignIn) -> Challenged:
    """The answer to a token that is not good."""
    asked = challenge(sign_in, error="invalid_token", description=_INVALID)
    return Challenged(UNIDENTIFIED, _INVALID, asked)


def insufficient(sign_in: SignIn) -> Challenged:
    """The answer to a token that is good, and not enough."""
    asked = challenge(sign_in, error="insufficient_scope", description=_FORBIDDEN)
    return Challenged(FORBIDDEN, _FORBIDDEN, asked)


def challenge(sign_in: SignIn, *, error: str = "", description: str = "") -> str:
    """The `WWW-Authenticate` of RFC 6750 and RFC 9728: where a client finds out whom to ask."""
    said = {"resource_metadata": metadata_url(sign_in.audience)}
    said |= {"scope": " ".join(sign_in.scopes)} if sign_in.scopes else {}
    said |= {"error": error, "error_description": description} if error else {}
    return "Bearer " + ", ".join(f'{name}="{_quotable(text)}"' for name, text in said.items())


def _quotable(text: str) -> str:
    """What may stand in a quoted string of a header."""
    return "".join(c for c in text if " " <= c <= "~" and c not in '"\\')
