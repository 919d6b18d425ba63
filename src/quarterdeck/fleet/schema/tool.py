"""`tools/NAME.yaml`: the contract of one tool, and what carries it out."""

from decimal import Decimal
from typing import Final, Literal

from pydantic import Field

from quarterdeck.domain import limits
from quarterdeck.domain.tools import DataClass, EffectClass, RatePeriod, Trust
from quarterdeck.fleet.fields import (
    Amount,
    Count,
    Currency,
    FunctionName,
    HeaderName,
    HttpPath,
    JsonObject,
    Name,
    Pin,
    Pointer,
    Property,
    PythonFile,
    Secret,
    ServerTool,
    Text,
    Usd,
)
from quarterdeck.fleet.schema.entry import Entry

TIMEOUT_SECONDS_DEFAULT: Final = 60


class PythonEntry(Entry):
    """The function that carries a tool out, in a child process of its own."""

    file: PythonFile = Field(
        description="A Python file of the folder.", examples=["tools/route_ticket.py"]
    )
    function: FunctionName = Field(
        description="A function of that file; it is called with the arguments by name.",
        examples=["route_ticket"],
    )


class McpEntry(Entry):
    """The tool of an MCP server that carries it out."""

    server: Name = Field(description="A server of `servers/`.", examples=["shop"])
    tool: ServerTool = Field(description="Its name there.", examples=["cancel_pending_order"])
    pin: Pin | None = Field(
        default=None,
        description="The hash of the definition that is granted. Another definition is quarantined "
        "until an owner releases it; so is any without a pin.",
    )


class HttpEntry(Entry):
    """The operation of an HTTP API that carries it out."""

    server: Name = Field(description="A server of `servers/`.", examples=["billing"])
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(
        description="The method.", examples=["POST"]
    )
    path: HttpPath = Field(
        description="The path from the server's root; `{name}` stands for an argument.",
        examples=["/orders/{order}"],
    )
    query: dict[Property, Property] = Field(
        default_factory=dict, description="Arguments sent in the query, by their name there."
    )
    headers: dict[HeaderName, Property] = Field(
        default_factory=dict, description="Arguments sent as headers, by the header's name."
    )
    body: Property | None = Field(
        default=None,
        description="The argument that is the JSON body, or `*` for an object of all arguments "
        "that go nowhere else.",
    )


class KeyEntry(Entry):
    """Where the idempotency key of a call is put; one of the two."""

    argument: Property | None = Field(default=None, description="In this argument.")
    header: HeaderName | None = Field(default=None, description="In this header of HTTP.")


class MovesEntry(Entry):
    """Money that one call moves."""

    currency: Currency = Field(description="ISO 4217.", examples=["USD"])
    most: Amount = Field(description="The most that one call may move.", examples=["500"])
    argument: Property | None = Field(
        default=None, description="The argument that says how much; more than `most` is denied."
    )


class RecordsEntry(Entry):
    """Records that one call touches, at the most."""

    written: int = Field(default=0, ge=0, le=10**9, description="Made or changed.")
    deleted: int = Field(default=0, ge=0, le=10**9, description="Deleted.")


class DestinationEntry(Entry):
    """An argument that says where something goes."""

    argument: Property = Field(description="The argument's name.", examples=["to"])
    allow: list[Property] = Field(
        min_length=1,
        description="What it may be: exact values, or patterns such as `*@example.com`. `*` stands "
        "for one or more characters, for a separator only in a path; alone for anything.",
        examples=['["*@example.com"]'],
    )


class RateEntry(Entry):
    """How often an agent may call it."""

    calls: Count = Field(description="At most so many calls.", examples=["30"])
    per: RatePeriod = Field(
        description="In each minute, hour or day of the clock (UTC).", examples=["hour"]
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
    control: list[Property] = Field(
        default_factory=list,
        description="Arguments that decide who, what and how much.",
        examples=["[order, amount]"],
    )
    text: list[Property] = Field(
        default_factory=list, description="Arguments that are free text and decide nothing."
    )
    ids: list[Pointer] = Field(
        default_factory=list,
        description="Places in its results (JSON pointers) that hold ids assigned by a system of "
        "record: they may be trusted where the rest is not.",
        examples=['["/orders/*/id"]'],
    )
    data: list[DataClass] = Field(
        default_factory=list, description="Classes of data its results carry."
    )
    idempotency_key: KeyEntry | None = Field(
        default=None,
        description="Where the key goes that makes a repeat harmless; with `idempotent: true`.",
    )
    moves: list[MovesEntry] = Field(
        default_factory=list, description="Money that one call moves, by currency."
    )
    records: RecordsEntry = Field(
        default_factory=RecordsEntry, description="Records that one call touches."
    )
    messages: int = Field(
        default=0, ge=0, le=10**9, description="Messages that one call sends to people or systems."
    )
    destinations: list[DestinationEntry] = Field(
        default_factory=list,
        description="Arguments that say where something goes, and where that may be.",
    )
    rates: list[RateEntry] = Field(
        default_factory=list, description="How often one agent may call it."
    )
    confirm: bool = Field(
        default=False, description="Each call is held until an owner approves exactly that call."
    )
    secret: Secret | None = Field(
        default=None, description="Name of the secret for this tool, in the place of the server's."
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
        description="The function that carries it out. Without `python`, `mcp` or `http` the "
        "agent's own process does, and reports.",
    )
    mcp: McpEntry | None = Field(
        default=None, description="The tool of an MCP server that carries it out."
    )
    http: HttpEntry | None = Field(
        default=None, description="The operation of an HTTP API that carries it out."
    )
