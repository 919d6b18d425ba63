"""Changes: put a fleet folder in force, and say what that changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.budgets import rate_windows, windows
from quarterdeck.domain.errors import NotFound, Overtaken
from quarterdeck.domain.fleets import Fleet
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.fleet.diff import Change, changes
from quarterdeck.fleet.load import load_to_apply
from quarterdeck.services.replies import EVERY_TIME, Once
from quarterdeck.sources import Clock, Dice, datetime_of
from quarterdeck.store import budgets, fleets, ledger, standing
from quarterdeck.store.database import Database, Transaction

CHANGES_SAID_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A fleet in force, and what putting it there changed; empty if nothing did."""

    fleet: Fleet
    changes: tuple[Change, ...]


class _OtherVersion(Exception):
    """Another version is in force than the caller expected."""

    def __init__(self, version: str | None) -> None:
        super().__init__(version)
        self.version = version


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The use cases of changing a fleet."""

    db: Database
    bindings: Bindings
    clock: Clock
    dice: Dice

    async def in_force(self, caller: Caller) -> Fleet:
        """The fleet in force."""
        authorise_whole(caller, "read")
        fleet = await self.bindings.in_force()
        if fleet is None:
            raise NotFound("no fleet is in force", hint="run: quarterdeck apply DIR")
        return fleet

    async def preview(self, caller: Caller, files: Mapping[str, bytes]) -> Applied:
        """What `apply` would change. Raises FleetInvalid with every problem found."""
        authorise_whole(caller, "read")
        fleet = load_to_apply(files)
        return Applied(fleet=fleet, changes=changes(await self.bindings.in_force(fleet), fleet))

    async def apply(
        self,
        caller: Caller,
        files: Mapping[str, bytes],
        *,
        expected: frozenset[str | None] | None = None,
        once: Once = EVERY_TIME,
    ) -> Applied:
        """Put a folder in force; the same folder again changes nothing and records nothing.

        With `expected` only if one of these versions is in force; else Overtaken says who was
        faster, and what they changed.
        """
        authorise_whole(caller, "apply")
        applied = await self.preview(caller, files)

        def write(tx: Transaction) -> None:
            version = standing.get(tx).fleet_version
            if expected is not None and version not in expected:
                raise _OtherVersion(version)
            if version != applied.fleet.version:
                self._apply(tx, applied, files, caller)

        try:
            await self.db.write(once.writing(write, applied))
        except _OtherVersion as other:
            raise await self._overtaken(expected or frozenset(), other.version) from other
        self.bindings.applied(applied.fleet)
        return applied

    async def _overtaken(self, expected: frozenset[str | None], version: str | None) -> Overtaken:
        """Who changed the fleet since the caller looked, and what."""
        hint = "look at it (GET /v1/fleet), change your folder to fit, and apply it again"
        if version is None:
            return Overtaken("no fleet is in force any more", hint=hint)
        row = await self.db.read(lambda tx: fleets.find_applied(tx, version))
        assert row is not None, "what is in force was applied"
        known = [v for v in expected if v is not None and await self._is_known(v)]
        base = await self.bindings.fleet(known[0]) if known else None
        said = changes(base, await self.bindings.fleet(version))
        words = "; ".join(str(change) for change in said[:CHANGES_SAID_MAX]) or "nothing else"
        more = f"; and {len(said) - CHANGES_SAID_MAX} more" if len(said) > CHANGES_SAID_MAX else ""
        when = datetime_of(row["applied_at"]).strftime("%Y-%m-%d %H:%M:%S UTC")
        who = f"`{row['applied_by']}` has put version {version[:12]} in force ({when})"
        return Overtaken(f"{who}: {words}{more}", hint=hint)

    async def _is_known(self, version: str) -> bool:
        return await self.db.read(lambda tx: fleets.find_applied(tx, version)) is not None

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
        now = datetime_of(tx.now)
        for scope, caps in scopes.items():
            for budget, cap in windows({scope: caps}, now).items():
                budgets.recap(tx, budget, None if cap is None else cap.amount)
        for agent in fleet.agents.values():
            for name in agent.tools:
                rates = rate_windows(name, agent.name, fleet.tools[name].rates, now)
                for budget, cap in rates.items():
                    budgets.recap(tx, budget, None if cap is None else cap.amount)
