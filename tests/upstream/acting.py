"""A house with a fleet in force, and one run that acts through its tools."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from quarterdeck.assembly import House, house
from quarterdeck.domain.actions import Content, Done, Outcome, Proposal, Receipt
from quarterdeck.services.runs import StartedRun
from quarterdeck.settings import Settings
from tests.serving import OWNER


@dataclass(frozen=True, slots=True)
class Acting:
    """One run, and short words for what it does."""

    house: House
    run: StartedRun

    async def outcome(self, tool: str, **arguments: Any) -> Outcome:
        """What comes of a call."""
        sent = orjson.dumps(arguments)
        proposal = Proposal(
            credential=self.run.credential,
            kind="tool",
            target=tool,
            arguments=sent,
            content=Content(rest=sent),
        )
        return await self.house.checkpoint.carry_out(proposal, self.house.tools.use)

    async def receipt(self, tool: str, **arguments: Any) -> Receipt:
        """The receipt of a call that was carried out, or provably not."""
        outcome = await self.outcome(tool, **arguments)
        assert isinstance(outcome, Done), outcome
        return outcome.receipt

    async def result(self, tool: str, **arguments: Any) -> Any:
        """The result of a call that was done."""
        receipt = await self.receipt(tool, **arguments)
        assert receipt.status == "done", receipt
        return orjson.loads(receipt.result)

    async def states(self) -> list[str]:
        """The states of all actions of the run, oldest first."""
        rows = await self.house.services.actions.list_of_run(OWNER, self.run.id, after="", rows=500)
        return [row["state"] for row in rows]


@contextlib.asynccontextmanager
async def acting(
    folder: Path, files: Mapping[str, bytes], *, settings: Settings | None = None
) -> AsyncIterator[Acting]:
    """A run of the small fleet's clerk."""
    async with house(settings or Settings(folder=folder), role="all") as built:
        await built.services.changes.apply(OWNER, files)
        run = await built.services.runs.start(OWNER, "clerk", {"text": "hi"}, kind="external")
        yield Acting(built, run)
