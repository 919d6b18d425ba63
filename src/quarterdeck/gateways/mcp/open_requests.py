"""Requests under way in this process: how many a run has, which ids a session uses, cancelling.

In the stateless era each answer has a response of its own and nothing is found by its id, so ids
are the client's own business; in a session an id that is still open is refused.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from quarterdeck.domain.dialects.request import Members
from quarterdeck.domain.limits import MCP_OPEN_MAX
from quarterdeck.domain.mcp.errors import BUSY, INVALID_REQUEST, Fault, Id
from quarterdeck.domain.mcp.messages import id_of
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.gateways.mcp.exchange import Exchange


@dataclass(slots=True)
class Begun:
    """One request under way."""

    task: "asyncio.Task[object] | None" = None
    cancelled: bool = False

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """While in it, the request can be cancelled by its session; then it simply ends."""
        self.task = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if not self.cancelled or self.task is None:
                raise
            self.task.uncancel()
        finally:
            self.task = None

    def cancel(self) -> None:
        """End it."""
        if self.task is not None and not self.cancelled:
            self.cancelled = True
            self.task.cancel()


@dataclass(slots=True)
class OpenRequests:
    """What is under way."""

    _of_run: Counter[str] = field(default_factory=Counter)
    _by_id: dict[tuple[bytes, Id], Begun] = field(default_factory=dict)

    @contextmanager
    def counted(self, x: Exchange) -> Iterator[Begun]:
        """Count a request while it lives; raises Fault for one too many, or an id in use."""
        run, session = x.caller.identity.run, x.caller.session
        key = None if session is None else (session.nonce, x.id)
        if self._of_run[run] >= MCP_OPEN_MAX:
            raise Fault(BUSY, f"{MCP_OPEN_MAX} requests of this run are under way: wait for one")
        if key is not None and key in self._by_id:
            raise Fault(INVALID_REQUEST, "A request with this id is still under way")
        begun = Begun()
        self._of_run[run] += 1
        if key is not None:
            self._by_id[key] = begun
        try:
            yield begun
        finally:
            self._of_run[run] -= 1
            if not self._of_run[run]:
                del self._of_run[run]
            if key is not None:
                del self._by_id[key]

    def cancel(self, caller: McpCaller, params: Members) -> None:
        """Cancel a request of a session; one that is unknown or over is nobody's concern."""
        raw = params.get("requestId")
        if raw is None or caller.session is None:
            return
        begun = self._by_id.get((caller.session.nonce, id_of(raw)))
        if begun is not None:
            begun.cancel()
