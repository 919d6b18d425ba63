"""What every mapping of a fleet file is, and the parts that several files share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from quarterdeck.domain.fleets import CapPeriod
from quarterdeck.fleet.fields import Amount


class Entry(BaseModel):
    """A mapping of a fleet file: closed, strict, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BudgetEntry(Entry):
    """A hard cap: nothing is admitted that could pass it."""

    unit: Literal["usd", "tokens", "calls"] = Field(
        description="What is counted.", examples=["usd"]
    )
    per: CapPeriod = Field(
        description="The period after which the count starts anew.", examples=["day"]
    )
    amount: Amount = Field(
        description="The most that may be used in one period; whole for tokens and calls.",
        examples=["50"],
    )
