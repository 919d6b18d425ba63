"""A tool call as an effect: to the back end its contract names, and to no other."""

from collections.abc import Callable
from dataclasses import dataclass

from quarterdeck.domain.actions import Cleared, Content, Receipt
from quarterdeck.domain.tools import HttpBackend, McpBackend, PythonBackend, Tool
from quarterdeck.upstream.tools.http import HttpTools
from quarterdeck.upstream.tools.mcp import McpTools
from quarterdeck.upstream.tools.python import PythonTools


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalls:
    """Carries out tool calls."""

    python: PythonTools
    http: HttpTools
    mcp: McpTools
    is_current: Callable[[Cleared], bool]

    async def use(self, cleared: Cleared) -> Receipt:
        """Carry out one cleared call."""
        tool = cleared.contract
        assert isinstance(tool, Tool)
        if not self.is_current(cleared):
            return Receipt(
                status="not_attempted",
                result=b"",
                detail={"error": "the clearance lapsed or something was frozen before it began"},
            )
        if isinstance(tool.backend, PythonBackend):
            return await self.python.call(cleared)
        if isinstance(tool.backend, HttpBackend):
            return await self.http.call(cleared)
        if isinstance(tool.backend, McpBackend):
            return await self.mcp.call(cleared)
        # Built in: it takes no effect outside. What it says is the record itself.
        answer = b'{"handed_over":true}'
        return Receipt(status="done", result=answer, content=Content(rest=answer))
