"""A fleet as the running system sees it: agents, tools, vendors and people, bound and checked.

Built only by `fleet/load.py` from an applied folder; everything here is frozen, and an agent's
revision is the content address of all that shapes its behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from quarterdeck.domain.ids import AgentName, RevisionHash, TeamName, ToolName, VendorName
from quarterdeck.domain.money import Price

Dialect: TypeAlias = Literal["openai", "anthropic"]
Autonomy: TypeAlias = Literal["L0", "L1", "L2", "L3", "L4"]
EffectClass: TypeAlias = Literal["read", "egress", "draft", "write", "privileged"]
Trust: TypeAlias = Literal["trusted", "untrusted"]
Role: TypeAlias = Literal["owner", "reviewer", "viewer", "on-call"]
BudgetUnit: TypeAlias = Literal["nanousd", "tokens", "calls"]
Period: TypeAlias = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A hard limit on what may be spent in a period; `amount` is in `unit`."""

    unit: BudgetUnit
    period: Period
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Where a model lives. `secret` is the *name* of the secret that holds its key, or none."""

    name: VendorName
    dialect: Dialect
    base_url: str
    secret: str | None
    prices: Mapping[str, Price]
    allow: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model an agent may use: its role, the vendor entry it is bound to, its pinned id."""

    role: str
    vendor: VendorName
    model: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonBackend:
    """A function in a file of the fleet folder, run in a supervised child process."""

    file: str
    function: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What can be called, under its contract."""

    name: ToolName
    description: str
    arguments: Mapping[str, Any]
    results: Mapping[str, Any] | None
    effect: EffectClass
    trust: Trust
    idempotent: bool
    reversible: str | None
    repeatable: bool
    timeout_seconds: int
    cost_nanousd: int
    backend: PythonBackend | None
    digest: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody named in the fleet folder, with the role they hold in it."""

    id: str
    name: str
    role: Role


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
