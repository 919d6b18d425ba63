"""Servers: where tools live outside, MCP servers and HTTP APIs, and what an agent may use there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from quarterdeck.domain import limits
from quarterdeck.domain.ids import ServerName

Protocol: TypeAlias = Literal["mcp", "http"]
#: How the secret is shown: as a bearer token, in a header, or exchanged for a token first.
ServerAuth: TypeAlias = Literal["bearer", "header", "oauth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """Client credentials (RFC 6749 §4.4): the secret is exchanged for short-lived tokens."""

    token_url: str
    client_id: str
    scope: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWanted:
    """A person signs in at the server's issuer, once; what they grant is kept as the secret.

    `client_id` is our name there, where the issuer does not give one by itself.
    """

    issuer: str
    client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An MCP server at a URL or behind a command, or an HTTP API. Named in the fleet folder.

    `secret` is the *name* of a secret; `secrets` maps a command's variables to names of secrets.
    """

    name: ServerName
    protocol: Protocol
    url: str | None
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None
    auth: ServerAuth = "bearer"
    header: str | None = None
    oauth: OAuthClient | None = None
    consent: ConsentWanted | None = None
    timeout_seconds: int = limits.SERVER_SECONDS_DEFAULT
    calls_max: int = limits.SERVER_CALLS_DEFAULT
    #: The files of `servers/` that a command may run, by path: it runs what was applied.
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGrant:
    """What one agent may use of one MCP server besides tools; nothing unless it is named.

    `resources` are URIs or URI templates (RFC 6570, simple expansion), `prompts` names.
    `elicitation` and `sampling` let the server ask the agent's user, and its model, for something.
    `secret` is the agent's own credential there, in the place of the server's.
    """

    server: ServerName
    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    elicitation: bool = False
    sampling: bool = False
    secret: str | None = None
