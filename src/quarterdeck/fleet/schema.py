"""The files of a fleet folder as models: every field, its meaning, its bounds and its default.

Unknown fields are errors, nothing is converted silently, and a field without a description does
not pass the tests. What one file alone can show is checked here; what needs the rest of the folder
(a name that must exist, a price that must be known) is checked in `bind.py`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from quarterdeck.domain import limits
from quarterdeck.domain.fleets import Auth, Autonomy, Dialect, EffectClass, Period, Role, Trust
from quarterdeck.fleet.fields import (
    Amount,
    Count,
    FunctionName,
    JsonObject,
    ModelId,
    Name,
    PromptFile,
    PythonFile,
    Region,
    Seconds,
    Secret,
    Text,
    Usd,
    VendorUrl,
)

RUN_SECONDS_DEFAULT: Final = 3600
TIMEOUT_SECONDS_DEFAULT: Final = 60
TURNS_MAX: Final = 1000


class Entry(BaseModel):
    """A mapping of a fleet file: closed, strict, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BudgetEntry(Entry):
    """A hard cap: nothing is admitted that could pass it."""

    unit: Literal["usd", "tokens", "calls"] = Field(
        description="What is counted.", examples=["usd"]
    )
    per: Period = Field(
        description="The period after which the count starts anew.", examples=["day"]
    )
    amount: Amount = Field(
        description="The most that may be used in one period; whole for tokens and calls.",
        examples=["50"],
    )


class QuotasEntry(Entry):
    """Rates and sizes. Checked and part of the revision; not yet enforced."""

    requests_per_minute: Count | None = Field(default=None, description="Model calls in a minute.")
    tokens_per_request: Count | None = Field(default=None, description="Tokens in one model call.")
    tokens_per_run: Count | None = Field(default=None, description="Tokens in one run.")
    tokens_per_day: Count | None = Field(default=None, description="Tokens in a day.")
    tokens_per_month: Count | None = Field(default=None, description="Tokens in a month.")
    calls_per_day: Count | None = Field(default=None, description="Tool calls in a day.")
    calls_per_month: Count | None = Field(default=None, description="Tool calls in a month.")
    calls_per_tool: dict[Name, Count] = Field(
        default_factory=dict, description="Calls of one tool in a run, by the tool's name."
    )


class TeamEntry(Entry):
    """A team: who answers for it and what it may spend in all."""

    owner: Name = Field(description="Id of the person who answers for the team.", examples=["mara"])
    budgets: list[BudgetEntry] = Field(
        default_factory=list, description="Caps over all agents of the team."
    )


class PersonEntry(Entry):
    """Somebody who may see or decide something, by the role they hold."""

    name: Text = Field(description="Name shown to others.", examples=["Mara Lind"])
    role: Role = Field(
        description="`owner` deploys, approves and thaws; `reviewer` audits and approves; "
        "`viewer` reads; `on-call` freezes.",
        examples=["owner"],
    )


class PriceEntry(Entry):
    """What a model costs, in USD per million tokens."""

    input: Usd = Field(description="Input tokens that no cache served.", examples=["0.15"])
    output: Usd = Field(description="Output tokens.", examples=["0.60"])
    cache_read: Usd | None = Field(
        default=None,
        description="Input tokens read from the vendor's cache; else the price of `input`.",
    )
    cache_write: Usd | None = Field(
        default=None,
        description="Input tokens written to the vendor's cache; else the price of `input`.",
    )
    reasoning: Usd | None = Field(
        default=None, description="Reasoning tokens; else the price of `output`."
    )
    request: Usd = Field(default=Decimal(0), description="USD for each call, whatever its tokens.")


class TimeoutsEntry(Entry):
    """How long one attempt at a vendor may take, in seconds."""

    connect: Seconds = Field(
        default=limits.VENDOR_CONNECT_SECONDS_DEFAULT, description="To be connected."
    )
    first_byte: Seconds = Field(
        default=limits.VENDOR_FIRST_BYTE_SECONDS_DEFAULT,
        description="From then to the first byte of the answer's body; a model that thinks before "
        "it answers whole is silent for that long.",
    )
    between_bytes: Seconds = Field(
        default=limits.VENDOR_BETWEEN_BYTES_SECONDS_DEFAULT,
        description="Between one piece of the answer and the next.",
    )
    total: Seconds = Field(
        default=limits.EFFECT_SECONDS_MAX, description="From the start to the answer's last byte."
    )


class VendorEntry(Entry):
    """Where models live. A vendor's key is a secret: only its name is written here."""

    dialect: Dialect = Field(
        description="The wire protocol: `openai` (and servers compatible with it), `azure`, "
        "`anthropic`, `gemini` or `bedrock`.",
        examples=["openai"],
    )
    base_url: VendorUrl = Field(
        description="Root of its API: with the version for `openai`, without for the others.",
        examples=["https://api.openai.com/v1"],
    )
    secret: Secret | None = Field(
        default=None,
        description="Name of the secret that holds the key; none for a server without one.",
    )
    auth: Auth | None = Field(
        default=None,
        description="How the key is shown: as `bearer` token, in the header `x-api-key`, `api-key` "
        "or `x-goog-api-key`, or as a signature, `aws-sigv4`; else as the dialect's own SDK does.",
    )
    region: Region | None = Field(
        default=None, description="The AWS region that requests are signed for."
    )
    timeouts: TimeoutsEntry = Field(
        default_factory=TimeoutsEntry, description="How long one attempt may take."
    )
    retries: int = Field(
        default=limits.VENDOR_RETRIES_DEFAULT,
        ge=0,
        le=limits.VENDOR_RETRIES_MAX,
        description="How often a call that cost nothing is sent again.",
    )
    calls_max: int = Field(
        default=limits.VENDOR_CALLS_DEFAULT,
        ge=1,
        le=limits.VENDOR_CALLS_MAX,
        description="Calls at once, of one process; one agent alone gets three quarters of them.",
    )
    prices: dict[ModelId, PriceEntry] = Field(
        default_factory=dict,
        description="Price of each model. Needed for every model whose price is not known: all "
        "but those of api.openai.com and api.anthropic.com.",
    )
    pinned: list[ModelId] = Field(
        default_factory=list,
        description="Model ids that carry no date and that this vendor promises never to change.",
    )
    allow: list[Name] = Field(
        default_factory=list,
        description="What the vendor may do by itself, such as hosted tools; nothing by default.",
    )


class DefaultsEntry(Entry):
    """What an agent that does not say otherwise gets."""

    team: Name | None = Field(default=None, description="The team of an agent that names none.")
    turns_max: int = Field(
        default=limits.TURNS_DEFAULT,
        ge=1,
        le=TURNS_MAX,
        description="`turns_max` of an agent without one.",
    )
    run_seconds_max: int = Field(
        default=RUN_SECONDS_DEFAULT,
        ge=1,
        le=limits.RUN_SECONDS_MAX,
        description="`run_seconds_max` of an agent without one.",
    )
    budgets: list[BudgetEntry] = Field(
        default_factory=list, description="`budgets` of an agent without any."
    )


class FleetEntry(Entry):
    """`fleet.yaml`: what all agents share."""

    name: Name = Field(description="The fleet's name.", examples=["support-desk"])
    people: dict[Name, PersonEntry] = Field(
        min_length=1, description="People by id; at least one is an `owner`.", examples=[""]
    )
    teams: dict[Name, TeamEntry] = Field(min_length=1, description="Teams by name.", examples=[""])
    vendors: dict[Name, VendorEntry] = Field(
        min_length=1, description="Model vendors by name.", examples=[""]
    )
    defaults: DefaultsEntry = Field(
        default_factory=DefaultsEntry, description="What agents get that do not say otherwise."
    )
    budgets: list[BudgetEntry] = Field(
        default_factory=list, description="Caps over the whole fleet."
    )


class FallbackEntry(Entry):
    """The second vendor entry of a model, asked when the first cannot answer."""

    vendor: Name = Field(
        description="A vendor of `fleet.yaml` that takes the same requests.", examples=["second"]
    )
    model: ModelId | None = Field(
        default=None, description="Its id of the model; else the same as at the first."
    )


class ModelEntry(Entry):
    """A model an agent may use, pinned to one version."""

    vendor: Name = Field(description="A vendor of `fleet.yaml`.", examples=["openai"])
    model: ModelId = Field(
        description="The vendor's id of one version; a floating alias does not load.",
        examples=["gpt-4o-mini-2024-07-18"],
    )
    parameters: JsonObject = Field(
        default_factory=dict, description="Sent with each call, such as `temperature`."
    )
    fallback: FallbackEntry | None = Field(
        default=None,
        description="What is asked when this vendor cannot answer; nothing without it.",
    )


class ModelsEntry(Entry):
    """The models of an agent, by the part they play."""

    main: ModelEntry = Field(description="Does the work.", examples=[""])
    router: ModelEntry | None = Field(default=None, description="Decides where a task goes.")
    extractor: ModelEntry | None = Field(
        default=None, description="Takes typed values out of text."
    )
    judge: ModelEntry | None = Field(default=None, description="Scores answers.")


class AgentEntry(Entry):
    """`agents/NAME.yaml`: one agent."""

    name: Name = Field(description="The same as the file's name.", examples=["triage"])
    owner: Name = Field(description="Id of the person who answers for it.", examples=["mara"])
    team: Name | None = Field(default=None, description="Its team; else `defaults.team`.")
    purpose: Text = Field(description="What it is for, in a sentence.", examples=["Sorts tickets."])
    autonomy: Autonomy = Field(
        description="`L0` drafts only, `L1` recommends, `L2` low-risk writes, `L3` several steps "
        "under policy, `L4` runs continuously.",
        examples=["L1"],
    )
    models: ModelsEntry = Field(description="Models by role.", examples=[""])
    prompt: PromptFile = Field(
        description="The file that holds its prompt, from the folder's root.",
        examples=["prompts/triage.md"],
    )
    tools: list[Name] = Field(
        default_factory=list, description="Tools it may call; anything else is denied."
    )
    criticality: bool = Field(
        default=False,
        description="Critical agents are throttled and paused last.",
    )
    budgets: list[BudgetEntry] = Field(
        default_factory=list,
        description="Its caps; else `defaults.budgets`. Without one in USD it gets 50 USD a day.",
    )
    quotas: QuotasEntry = Field(
        default_factory=QuotasEntry, description="Rates and sizes; checked, not yet enforced."
    )
    turns_max: int | None = Field(
        default=None,
        ge=1,
        le=TURNS_MAX,
        description="Model calls in a run; else `defaults.turns_max`.",
    )
    run_seconds_max: int | None = Field(
        default=None,
        ge=1,
        le=limits.RUN_SECONDS_MAX,
        description="How long a run may last; else `defaults.run_seconds_max`.",
    )


class PythonEntry(Entry):
    """The function that carries a tool out, in a child process of its own."""

    file: PythonFile = Field(
        description="A Python file of the folder.", examples=["tools/route_ticket.py"]
    )
    function: FunctionName = Field(
        description="A function of that file; it is called with the arguments by name.",
        examples=["route_ticket"],
    )


class ToolEntry(Entry):
    """`tools/NAME.yaml`: the contract of one tool."""

    name: Name = Field(description="The same as the file's name.", examples=["route_ticket"])
    description: Text = Field(
        description="What it does; models read this.", examples=["Puts a ticket in a queue."]
    )
    arguments: JsonObject = Field(
        description="JSON Schema (2020-12) of its arguments, an object. Arguments it does not "
        "name are refused unless it says `additionalProperties`.",
        examples=["{type: object, properties: {}}"],
    )
    results: JsonObject | None = Field(
        default=None, description="JSON Schema of its results; unchecked without one."
    )
    effect: EffectClass = Field(
        description="`read`; `egress`, a read that sends something out; `draft`; `write`; "
        "`privileged`, which always asks a person.",
        examples=["read"],
    )
    trust: Trust = Field(
        default="untrusted", description="Whether its results may steer later calls (`trusted`)."
    )
    idempotent: bool = Field(
        default=False,
        description="Calling it again under the same key changes nothing more.",
    )
    reversible: Name | None = Field(
        default=None,
        description="The tool that undoes it, or `compensation` where people make up for it; "
        "without it the effect is irreversible.",
    )
    repeatable: bool = Field(
        default=False,
        description="The same call twice within a minute is meant twice.",
    )
    cost: Usd = Field(default=Decimal(0), description="USD for each call.")
    timeout_seconds: int = Field(
        default=TIMEOUT_SECONDS_DEFAULT,
        ge=1,
        le=limits.EFFECT_SECONDS_MAX,
        description="How long one call may take.",
    )
    python: PythonEntry | None = Field(
        default=None,
        description="What carries it out; without it the agent's own process does, and reports.",
    )


#: The published schemas, by the name of their file.
FILES: Final[Mapping[str, type[Entry]]] = {
    "fleet": FleetEntry,
    "agent": AgentEntry,
    "tool": ToolEntry,
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each kind of file, for editors and for publication."""
    schemas: dict[str, dict[str, Any]] = {}
    for name, model in FILES.items():
        generated = model.model_json_schema()
        schemas[name] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:quarterdeck:schema:{name}",
            **generated,
            "title": f"Quarterdeck {name} file",
        }
    return schemas
