"""`fleet.yaml`: people, teams, vendors, and what agents get that do not say otherwise."""

from decimal import Decimal
from typing import Final

from pydantic import Field

from quarterdeck.domain import limits
from quarterdeck.domain.fleets import Auth, Dialect, Role
from quarterdeck.fleet.fields import ModelId, Name, Region, Seconds, Secret, Text, Usd, VendorUrl
from quarterdeck.fleet.schema.entry import BudgetEntry, Entry

RUN_SECONDS_DEFAULT: Final = 3600
TURNS_MAX: Final = 1000


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


class SignInEntry(Entry):
    """Who vouches for people that come with MCP clients of their own, and what they act through."""

    issuer: VendorUrl = Field(
        description="The OAuth issuer whose access tokens are taken.",
        examples=["https://login.example.com"],
    )
    audience: VendorUrl = Field(
        description="This server's own URI, which tokens must be issued for (RFC 8707).",
        examples=["https://quarterdeck.example.com/mcp"],
    )
    agent: Name = Field(description="The agent whose grants people act under.", examples=["desk"])
    person: Text = Field(
        default="sub", description="The claim that holds a person's id in `people`."
    )
    scopes: list[Text] = Field(
        default_factory=list, description="Scopes a token must have, each of them."
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
    sign_in: SignInEntry | None = Field(
        default=None,
        description="Who vouches for people's own MCP clients; without it there are none.",
    )
