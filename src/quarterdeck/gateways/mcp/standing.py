"""Whether a run may still be served, for what is no action and so passes no admission."""

from dataclasses import dataclass

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.stages import check_run
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.store import runs


@dataclass(frozen=True, slots=True)
class Standings:
    """Looks whether credentials are still good."""

    checkpoint: Checkpoint

    async def check(self, caller: McpCaller) -> None:
        """Raise Unidentified unless the caller's credential is still good."""
        run = caller.identity.run
        row = await self.checkpoint.db.read(lambda tx: runs.find_standing(tx, run))
        check_run(row, self.checkpoint.clock.micros())
