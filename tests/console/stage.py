"""A real house with runs in it, and a browser-like client of its console.

Everything shown on a page was put there by the checkpoint and the services, as in production; only
the effects are played, because what a vendor or a tool answers is not what is tested here.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import orjson
from starlette.applications import Starlette
from starlette.routing import Mount

from quarterdeck.assembly import House, house
from quarterdeck.console.app import build
from quarterdeck.console.live import Live
from quarterdeck.console.session import Sessions
from quarterdeck.domain.actions import (
    Cleared,
    Content,
    Effect,
    InDoubt,
    Outcome,
    Proposal,
    Receipt,
    Tokens,
)
from quarterdeck.domain.money import Usage
from quarterdeck.domain.people import Caller
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.services.runs import StartedRun
from quarterdeck.settings import Settings
from quarterdeck.store import actions
from tests.doubles import SteppingClock
from tests.fleets import files

OWNER = Caller(id="local:ann", role="owner")
ORIGIN = "http://127.0.0.1:7700"
KEY = b"k" * 32


def said(answer: Any, usage: Usage | None = None, source: Any = "reported") -> Effect:
    """An effect that went well."""
    body = orjson.dumps(answer)

    async def play(cleared: Cleared) -> Receipt:
        return Receipt(
            status="done",
            result=body,
            content=Content(rest=body),
            usage=usage,
            usage_source=source if usage else "none",
            cost_nanousd=0 if usage else cleared.bound.nanousd,
        )

    return play


async def silent(_: Cleared) -> Receipt:
    """An effect of which nobody hears again."""
    raise TimeoutError


async def broken(_: Cleared) -> Receipt:
    """An effect that fails."""
    raise ValueError("the other side closed the connection")


def ask(run: StartedRun, messages: list[dict[str, Any]], model: str = "small-1") -> Proposal:
    """A model call."""
    parts = tuple(orjson.dumps(message) for message in messages)
    return Proposal(
        credential=run.credential,
        kind="model",
        dialect="openai",
        target=model,
        arguments=b"".join(parts),
        content=Content(parts=parts, rest=orjson.dumps({"model": model, "temperature": 0})),
        tokens=Tokens(input_max=2_000, output_max=500),
    )


def use(run: StartedRun, tool: str, arguments: dict[str, Any], **more: Any) -> Proposal:
    """A tool call."""
    body = orjson.dumps(arguments)
    return Proposal(
        credential=run.credential,
        kind="tool",
        target=tool,
        arguments=body,
        content=Content(rest=body),
        **more,
    )


@dataclass
class Stage:
    """A house, its console and one browser."""

    house: House
    sessions: Sessions
    clock: SteppingClock
    app: Starlette
    live: Live
    browser: httpx2.AsyncClient

    async def start(self, given: dict[str, Any]) -> StartedRun:
        """Start a run of the clerk."""
        await asyncio.sleep(0.002)  # ids sort by their millisecond
        return await self.house.services.runs.start(OWNER, "clerk", given, kind="external")

    async def act(self, proposal: Proposal, effect: Effect) -> Outcome:
        """Let a run act; what nobody hears of again is in doubt."""
        await asyncio.sleep(0.002)  # ids sort by their millisecond
        outcome = await self.house.checkpoint.carry_out(proposal, effect)
        if isinstance(outcome, InDoubt):
            await self.house.db.write(lambda tx: actions.doubt(tx, outcome.action.id))
        return outcome

    async def end(self, run: StartedRun, state: Any, because: str, **result: Any) -> None:
        """End a run."""
        outcome = RunOutcome(state=state, because=because, result=result or None)
        await self.house.services.runs.end(OWNER, run.id, outcome)

    async def sign_in(self) -> httpx2.Response:
        """Follow a new link and press its button."""
        link = self.sessions.one_time_link(ORIGIN, OWNER)
        shown = await self.browser.get(link)
        return await self.post("/console/sign-in", token=hidden(shown.text, "token"))

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form as a browser sends one of ours."""
        headers = {"sec-fetch-site": "same-origin", "origin": "null"}
        return await self.browser.post(path, data=fields, headers=headers)

    async def read(self, path: str) -> str:
        """A page that is there."""
        answer = await self.browser.get(path)
        assert answer.status_code == 200, answer.text
        return str(answer.text)


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, page
    return unescape(found.group(1))


def text_of(page: str) -> str:
    """What a person reads of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


@asynccontextmanager
async def stage(folder: Path, *, secure: bool = False, fleet: bool = True) -> AsyncIterator[Stage]:
    """A house with the small fleet in force and its console mounted."""
    async with house(Settings(folder=folder), role="all") as built:
        if fleet:
            await built.services.changes.apply(OWNER, files())
        clock = SteppingClock(time=datetime.now(UTC))
        sessions = Sessions(key=KEY, clock=clock)
        live = built.live
        app = Starlette(routes=[Mount("/console", build(built.services, sessions, live=live))])
        origin = ORIGIN.replace("http:", "https:") if secure else ORIGIN
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=origin) as browser:
            yield Stage(built, sessions, clock, app, live, browser)


async def ordinary(on: Stage) -> StartedRun:
    """A run that did what it should."""
    run = await on.start({"text": "Where is my parcel?"})
    usage = Usage(input=1_204, cache_read=300, output=88)
    messages = [{"role": "user", "content": "Where is my parcel?"}]
    await on.act(ask(run, messages), said({"text": "Let me look."}, usage))
    await on.act(use(run, "look_up", {"n": 7}), said({"parcel": "on its way"}))
    await on.act(use(run, "file_note", {"n": 8}), said({"filed": 8}))
    await on.end(run, "succeeded", "the agent finished", text="It is on its way.")
    return run


async def contested(on: Stage) -> StartedRun:
    """A run that was refused, held and failed, and gave up."""
    run = await on.start({"text": "Delete everything."})
    messages = [{"role": "user", "content": "Delete everything."}]
    await on.act(ask(run, messages), said({}, Usage(input=90, output=12), "estimated"))
    await on.act(ask(run, messages, "large-9"), silent)
    await on.act(use(run, "drop_tables", {}), silent)
    await on.act(use(run, "wipe", {"n": 1}), silent)
    await on.act(use(run, "look_up", {"n": "seven"}), silent)
    await on.act(use(run, "look_up", {"n": 9}), broken)
    await on.end(run, "escalated", "the customer wants something no rule covers")
    return run


async def doubtful(on: Stage) -> StartedRun:
    """A run with an action of which nobody knows the outcome."""
    run = await on.start({"text": "Pay the invoice."})
    await on.act(use(run, "pay", {"n": 3}, mark="cooperative"), silent)
    return run
