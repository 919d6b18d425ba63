"""Visits: calls under way at servers, each with a place, where the server's circuit is not open.

One server that hangs or fails keeps its own places taken and its own circuit open, and nobody
else waits for it. What model vendors have, with the same arithmetic.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from quarterdeck.domain.actions import Cleared
from quarterdeck.domain.circuits import Blocked, Report
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.models.lines import Lines


@dataclass(slots=True)
class Visit:
    """One call at a server; whoever makes it says how it went."""

    report: Report = "unknown"


@asynccontextmanager
async def visit(cleared: Cleared, server: Server, lines: Lines) -> AsyncIterator[Visit]:
    """A place at a server for one call. Raises Unavailable, and then nothing was sent."""
    line = lines.at(server.name, server.url or " ".join(server.command))
    passage = line.enter()
    if isinstance(passage, Blocked):
        raise Unavailable(
            f"server `{server.name}` has been failing and is not called for now",
            hint=f"try again in {max(1, round(passage.retry_after))} s",
        )
    agent, places, made, taken = cleared.action.agent, server.calls_max, Visit(), False
    try:
        taken = line.places.take(agent, places) or await line.places.wait(agent, places)
        if not taken:
            raise Unavailable(
                f"too many calls to server `{server.name}` are under way",
                hint="try again in a moment, or raise `calls_max` in its file",
            )
        yield made
    finally:
        line.told(made.report, probe=passage.probe)
        if taken:
            line.places.give_back(agent, places)
