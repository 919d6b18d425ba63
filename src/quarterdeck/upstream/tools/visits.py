"""Visits: calls under way at servers, each with a place, where the server's circuit is not open.

One server that hangs or fails keeps its own places taken and its own circuit open, and nobody
else waits for it. What model vendors have, with the same arithmetic.
"""

from quarterdeck.domain.actions import Cleared
from quarterdeck.domain.circuits import Blocked, Report
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.models.lines import Line, Lines


class Visit:
    """One call at a server, as long as the block lasts; whoever makes it says how it went.

    Entering raises Unavailable where there is no place, and then nothing was sent.
    """

    __slots__ = ("_agent", "_is_probe", "_line", "_server", "report")

    def __init__(self, cleared: Cleared, server: Server, lines: Lines) -> None:
        self._agent = cleared.action.agent
        self._server = server
        self._line: Line = lines.at(server.name, server.url or " ".join(server.command))
        self._is_probe = False
        self.report: Report = "unknown"

    async def __aenter__(self) -> "Visit":
        line, server = self._line, self._server
        passage = line.enter()
        if isinstance(passage, Blocked):
            raise Unavailable(
                f"server `{server.name}` has been failing and is not called for now",
                hint=f"try again in {max(1, round(passage.retry_after))} s",
            )
        self._is_probe = passage.probe
        taken = False
        try:
            taken = line.places.take(self._agent, server.calls_max) or await line.places.wait(
                self._agent, server.calls_max
            )
            if not taken:
                raise Unavailable(
                    f"too many calls to server `{server.name}` are under way",
                    hint="try again in a moment, or raise `calls_max` in its file",
                )
        finally:
            if not taken:
                line.told("unknown", probe=self._is_probe)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._line.told(self.report, probe=self._is_probe)
        self._line.places.give_back(self._agent, self._server.calls_max)
