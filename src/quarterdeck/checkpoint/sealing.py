"""What must be carried out, answered or shown again exactly, sealed under the key of its run (I-9).

A run's key is wrapped by its team's and destroyed when the run has ended with nothing open; what
was sealed under it is then gone. Nothing here lists, exports or logs.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import orjson

from quarterdeck.domain.actions import Action, Cleared, Receipt
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.ids import RunId, TeamName
from quarterdeck.domain.limits import SLICE_BYTES
from quarterdeck.domain.tools import Tool
from quarterdeck.keys import SealingKey
from quarterdeck.store import sealed
from quarterdeck.store.database import Database
from quarterdeck.store.keys import Keyring

RUN_KEYS_KNOWN_MAX: Final = 1_000


@dataclass(slots=True)
class Seals:
    """Seals and opens under the keys of runs."""

    db: Database
    keyring: Keyring
    _known: "OrderedDict[RunId, SealingKey]" = field(default_factory=OrderedDict, repr=False)

    async def seal(self, run: RunId, team: TeamName, name: str, plain: bytes) -> bytes | None:
        """Sealed under a name; `None` for a run without a key: it has ended."""
        key = await self._key(run, team)
        return None if key is None else key.seal(name, plain)

    async def find(self, run: RunId, team: TeamName, name: str) -> bytes | None:
        """What was sealed under this name; `None` if nothing was, or its key is destroyed."""
        stored = await self.db.read(lambda tx: sealed.find(tx, name))
        key = await self._key(run, team)
        return None if stored is None or key is None else key.open(name, stored)

    async def seal_arguments(self, action: Action) -> bytes | None:
        """The arguments of an action, to be carried out again exactly."""
        name = name_of_arguments(action.id)
        return await self.seal(action.run, action.team, name, action.arguments)

    async def find_arguments(self, action: Action) -> bytes | None:
        """The arguments an action was asked for with, if they were sealed."""
        return await self.find(action.run, action.team, name_of_arguments(action.id))

    async def seal_answer(self, cleared: Cleared, receipt: Receipt) -> bytes | None:
        """The result, where the same call made again is answered with it; else it is not kept."""
        action = cleared.action
        if receipt.status == "not_attempted" or not _is_asked_again(cleared):
            return None
        is_large = len(receipt.result) > SLICE_BYTES
        body = await asyncio.to_thread(_body, receipt) if is_large else _body(receipt)
        try:
            return await self.seal(action.run, action.team, f"{action.id}/answer", body)
        except Unavailable:
            return None  # that it took place matters more than being asked for its answer again

    async def find_answer(self, action: Action) -> bytes | None:
        """The sealed answer of an action."""
        return await self.find(action.run, action.team, f"{action.id}/answer")

    async def _key(self, run: RunId, team: TeamName) -> SealingKey | None:
        known = self._known.get(run)
        if known is None:
            team_key = await self.keyring.team_key(team)
            known = await self.db.read(lambda tx: sealed.find_run_key(tx, run, team_key))
            if known is None:
                return None
            self._known[run] = known
            if len(self._known) > RUN_KEYS_KNOWN_MAX:
                self._known.popitem(last=False)
        return known


def _is_asked_again(cleared: Cleared) -> bool:
    """Whether the admission of another call may find this one (`admission.py`)."""
    if cleared.action.idempotency_key is not None or cleared.approval is not None:
        return True
    tool = cleared.contract
    return isinstance(tool, Tool) and (tool.happens_once or tool.confirm)


def name_of_arguments(action: str) -> str:
    """The name an action's arguments are sealed under."""
    return f"{action}/arguments"


def _body(receipt: Receipt) -> bytes:
    return orjson.dumps({"result": receipt.result.decode("latin-1"), "detail": receipt.detail})
