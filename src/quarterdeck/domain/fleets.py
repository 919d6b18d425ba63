"""A fleet as the running system sees it: agents, tools, vendors and people, bound and checked.

Built only by `fleet/load.py` from an applied folder; everything here is frozen, and an agent's
revision is the content address of all that shapes its behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from quarterdeck.domain import limits
from quarterdeck.domain.ids import (
    AgentName,
    RevisionHash,
    ServerName,
    TeamName,
    ToolName,
    VendorName,
)
from quarterdeck.domain.money import Price
from quarterdeck.domain.radius import Radius
from quarterdeck.domain.servers import Server, ServerGrant
from quarterdeck.domain.tools import Tool

Dialect: TypeAlias = Literal["openai", "anthropic", "gemini", "azure", "bedrock"]
#: How a vendor's key is shown to it: the name of a header, or a signature over the request.
Auth: TypeAlias = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "aws-sigv4"]
Autonomy: TypeAlias = Literal["L0", "L1", "L2", "L3", "L4"]
Role: TypeAlias = Literal["owner", "reviewer", "viewer", "on-call"]
BudgetUnit: TypeAlias = Literal["nanousd", "tokens", "calls"]
Period: TypeAlias = Literal["minute", "hour", "day", "week", "month"]
#: What a budget may count; a tool's rate counts shorter ones too.
CapPeriod: TypeAlias = Literal["day", "week", "month"]


# Azure serves OpenAI's own formats under addresses and keys of its own.
_TAKES: Final[Mapping[Dialect, tuple[Dialect, ...]]] = MappingProxyType({"azure": ("openai",)})


def takes(vendor: Dialect, route: Dialect | None) -> bool:
    """Whether a vendor of one dialect takes requests of a route of another just as they are."""
    return vendor == route or route in _TAKES.get(vendor, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A hard limit on what may be spent in a period; `amount` is in `unit`."""

    unit: BudgetUnit
    period: Period
    amount: int


AUTH_OF_DIALECT: Final[Mapping[Dialect, Auth]] = MappingProxyType(
    {
        "openai": "bearer",
        "anthropic": "x-api-key",
        "gemini": "x-goog-api-key",
        "azure": "api-key",
        "bedrock": "aws-sigv4",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long one attempt at a vendor may take, in seconds, by what it waits for."""

    connect: int = limits.VENDOR_CONNECT_SECONDS_DEFAULT
    first_byte: int = limits.VENDOR_FIRST_BYTE_SECONDS_DEFAULT
    between_bytes: int = limits.VENDOR_BETWEEN_BYTES_SECONDS_DEFAULT
    total: int = limits.EFFECT_SECONDS_MAX

    def __str__(self) -> str:
        """In words."""
        return (
            f"connect {self.connect} s, first byte {self.first_byte} s, "
            f"between bytes {self.between_bytes} s, total {self.total} s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Where a model lives. `secret` is the *name* of the secret that holds its key, or none."""

    name: VendorName
    dialect: Dialect
    base_url: str
    secret: str | None
    prices: Mapping[str, Price]
    allow: frozenset[str]
    auth: Auth = "bearer"
    region: str | None = None
    timeouts: Timeouts = Timeouts()
    retries: int = limits.VENDOR_RETRIES_DEFAULT
    calls_max: int = limits.VENDOR_CALLS_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The vendor entry, and its model, that is asked when the first one cannot answer."""

    vendor: VendorName
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model an agent may use: its role, the vendor entry it is bound to, its pinned id."""

    role: str
    vendor: VendorName
    model: str
    parameters: Mapping[str, Any]
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A role-based worker at one revision."""

    name: AgentName
    team: TeamName
    owner: str
    purpose: str
    autonomy: Autonomy
    critical: bool
    models: tuple[Model, ...]
    prompt: str
    tools: tuple[ToolName, ...]
    caps: tuple[Cap, ...]
    turns_max: int
    run_seconds_max: int
    revision: RevisionHash
    servers: Mapping[ServerName, ServerGrant] = field(default_factory=dict)
    #: The most it may do in one hour, declared; none where it may write nothing.
    radius: Radius | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody named in the fleet folder, with the role they hold in it."""

    id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Who vouches for people's own MCP clients: an OAuth issuer, and the agent they act through.

    `audience` is this server's canonical URI (RFC 8707); `person` the claim that holds a person's
    id in `people`.
    """

    issuer: str
    audience: str
    agent: AgentName
    person: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All of it; `version` is the content address of the whole folder."""

    name: str
    version: str
    teams: Mapping[TeamName, tuple[Cap, ...]]
    caps: tuple[Cap, ...]
    people: tuple[Person, ...]
    vendors: Mapping[VendorName, Vendor]
    tools: Mapping[ToolName, Tool]
    agents: Mapping[AgentName, Agent]
    servers: Mapping[ServerName, Server] = field(default_factory=dict)
    sign_in: SignIn | None = None
