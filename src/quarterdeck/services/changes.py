"""Changes: put a fleet folder in force, and say what that changes."""

from collections.abc import Mapping
from dataclasses import dataclass

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.budgets import windows
from quarterdeck.domain.fleets import Fleet
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.fleet.diff import Change, changes
from quarterdeck.fleet.load import load
from quarterdeck.sources import Clock, Dice, datetime_of
from quarterdeck.store import budgets, fleets, ledger, standing
from quarterdeck.store.database import Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A fleet in force, and what putting it there changed; empty if nothing did."""

    fleet: Fleet
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The use cases of changing a fleet."""

    db: Database
    bindings: Bindings
    clock: Clock
    dice: Dice

    async def preview(self, caller: Caller, files: Mapping[str, bytes]) -> Applied:
        """What `apply` would change. Raises FleetInvalid with every problem found."""
        authorise(caller, "read")
        fleet = load(files)
        return Applied(fleet=fleet, changes=changes(await self.bindings.in_force(), fleet))

    async def apply(self, caller: Caller, files: Mapping[str, bytes]) -> Applied:
        """Put a folder in force; the same folder again changes nothing and records nothing."""
        authorise(caller, "apply")
        applied = await self.preview(caller, files)
        before = await self.db.read(standing.get)
        if before.fleet_version == applied.fleet.version:
            return applied
        await self.db.write(lambda tx: self._apply(tx, applied, files, caller))
        return applied

    def _apply(
        self, tx: Transaction, applied: Applied, files: Mapping[str, bytes], caller: Caller
    ) -> None:
        fleet = applied.fleet
        fleets.put(tx, fleet, files, caller.id)
        standing.set_fleet(tx, fleet.version)
        self._recap(tx, fleet)
        body = {
            "version": fleet.version,
            "by": caller.id,
            "agents": {name: agent.revision for name, agent in fleet.agents.items()},
            "changes": [str(change) for change in applied.changes],
        }
        ledger.append(
            tx,
            Entry(kind="fleet_applied", subject=fleet.version, body=body),
            self.dice.bytes(NONCE_BYTES),
        )

    def _recap(self, tx: Transaction, fleet: Fleet) -> None:
        """Caps that changed hold from now on, in windows that are open already too."""
        scopes = {"fleet": fleet.caps}
        scopes |= {f"team:{name}": caps for name, caps in fleet.teams.items()}
        scopes |= {f"agent:{name}": agent.caps for name, agent in fleet.agents.items()}
        for scope, caps in scopes.items():
            for budget, cap in windows({scope: caps}, datetime_of(tx.now)).items():
                budgets.recap(tx, budget, None if cap is None else cap.amount)
