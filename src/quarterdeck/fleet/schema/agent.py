"""`agents/NAME.yaml`: one agent, what it may use and how much of it."""

from pydantic import Field

from quarterdeck.domain import limits
from quarterdeck.domain.fleets import Autonomy
from quarterdeck.domain.tools import DataClass
from quarterdeck.fleet.fields import (
    Amount,
    Count,
    Currency,
    JsonObject,
    ModelId,
    Name,
    PromptFile,
    Property,
    Secret,
    Text,
)
from quarterdeck.fleet.schema.entry import BudgetEntry, Entry
from quarterdeck.fleet.schema.fleet import TURNS_MAX


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


class ServerGrantEntry(Entry):
    """What an agent may use of one MCP server besides its tools; nothing unless named."""

    resources: list[Property] = Field(
        default_factory=list,
        description="URIs it may read, or URI templates such as `orders://{id}`.",
    )
    prompts: list[Property] = Field(default_factory=list, description="Prompts it may get.")
    elicitation: bool = Field(
        default=False, description="Whether the server may ask the agent's user something."
    )
    sampling: bool = Field(
        default=False, description="Whether the server may ask the agent's model something."
    )
    secret: Secret | None = Field(
        default=None, description="Name of the agent's own secret there, not the server's."
    )


class RadiusEntry(Entry):
    """The most an agent may be able to do in one hour, declared; what is left out is nothing."""

    money: dict[Currency, Amount] = Field(
        default_factory=dict, description="Money moved, by currency.", examples=['{USD: "500"}']
    )
    written: int = Field(default=0, ge=0, description="Records made or changed.")
    deleted: int = Field(default=0, ge=0, description="Records deleted.")
    messages: int = Field(default=0, ge=0, description="Messages sent.")
    data: list[DataClass] = Field(default_factory=list, description="Classes of data it can read.")


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
    servers: dict[Name, ServerGrantEntry] = Field(
        default_factory=dict,
        description="What it may use of MCP servers besides tools, by the server's name.",
    )
    radius: RadiusEntry | None = Field(
        default=None,
        description="The most it may be able to do in one hour; needed where it is granted a tool "
        "that writes. More, computed from contracts, rates and budgets, is refused.",
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
