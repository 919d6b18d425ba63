"""A house on SQLite with the small fleet in force, and one run."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from quarterdeck.assembly import House, house
from quarterdeck.domain.actions import (
    Cleared,
    Content,
    Done,
    Outcome,
    Proposal,
    Receipt,
    Tokens,
)
from quarterdeck.domain.people import Caller
from quarterdeck.services.runs import StartedRun
from quarterdeck.settings import Settings
from tests.fleets import files

OWNER = Caller(id="local:test", role="owner")


@dataclass
class Bench:
    """One run of the small fleet's clerk, and short words for what it proposes."""

    house: House
    run: StartedRun
    effects: list[str]

    async def effect(self, cleared: Cleared) -> Receipt:
        """An effect that says it took place."""
        self.effects.append(cleared.action.id)
        return Receipt(status="done", result=b'{"ok":true}', cost_nanousd=cleared.bound.nanousd)

    def tool(self, name: str, n: int = 1, **more: Any) -> Proposal:
        """A tool call."""
        arguments = orjson.dumps({"n": n})
        fields: dict[str, Any] = {
            "credential": self.run.credential,
            "kind": "tool",
            "target": name,
            "arguments": arguments,
            "content": Content(rest=arguments),
        }
        return Proposal(**(fields | more))

    def model(self, text: str = "hello", **more: Any) -> Proposal:
        """A model call."""
        body = orjson.dumps({"role": "user", "content": text})
        fields: dict[str, Any] = {
            "credential": self.run.credential,
            "kind": "model",
            "dialect": "openai",
            "target": "small-1",
            "arguments": body,
            "content": Content(parts=(body,), rest=b'{"model":"small-1"}'),
            "tokens": Tokens(input_max=100, output_max=50),
        }
        return Proposal(**(fields | more))

    async def do(self, proposal: Proposal) -> Outcome:
        """Carry it out."""
        return await self.house.checkpoint.carry_out(proposal, self.effect)

    async def done(self, proposal: Proposal) -> Done:
        """Carry it out, and insist."""
        outcome = await self.do(proposal)
        assert isinstance(outcome, Done), outcome
        return outcome

    async def row(self, action: str) -> Any:
        """An action's row."""
        from quarterdeck.store import actions

        return await self.house.db.read(lambda tx: actions.find(tx, action))

    async def budgets(self, scope: str = "agent:clerk") -> dict[str, Any]:
        """The day's money of a scope."""
        found = await self.house.services.costs.budgets_of(OWNER, scope)
        return next(b for b in found if "/nanousd/day/" in b["id"])


@asynccontextmanager
async def opened(folder: Path, fleet: Mapping[str, bytes]) -> AsyncIterator[Bench]:
    """A bench on a fleet folder."""
    async with house(Settings(folder=folder), role="all") as built:
        await built.services.changes.apply(OWNER, fleet)
        run = await built.services.runs.start(OWNER, "clerk", {"text": "hi"}, kind="external")
        yield Bench(built, run, [])


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on the small fleet."""
    async with opened(tmp_path, files()) as ready:
        yield ready
