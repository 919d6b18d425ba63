"""Which fleet a run is bound to: the one its revision was applied in, not the newest."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from quarterdeck.domain.errors import Corrupt, NotFound
from quarterdeck.domain.fleets import Agent, Cap, Dialect, Fleet
from quarterdeck.domain.ids import AgentName, BudgetId, RevisionHash
from quarterdeck.fleet.load import load
from quarterdeck.store import fleets, standing
from quarterdeck.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """An agent at a revision, in the fleet it was applied with."""

    agent: Agent
    fleet: Fleet
    windows: dict[str, Mapping[BudgetId, Cap | None]] = field(default_factory=dict)
    allowances: dict[Dialect, frozenset[str]] = field(default_factory=dict)

    def allowed(self, dialect: Dialect) -> frozenset[str]:
        """What the agent's vendors of this dialect may do beyond the safe default."""
        found = self.allowances.get(dialect)
        if found is None:
            names = {model.vendor for model in self.agent.models}
            vendors = (self.fleet.vendors[name] for name in names)
            found = frozenset().union(*(v.allow for v in vendors if v.dialect == dialect))
            self.allowances[dialect] = found
        return found


@dataclass(slots=True)
class Bindings:
    """Bindings by revision; fleets are immutable, so what was loaded once stays good."""

    db: Database
    _fleets: dict[str, Fleet] = field(default_factory=dict)
    _bindings: dict[RevisionHash, Binding] = field(default_factory=dict)

    async def of(self, revision: RevisionHash) -> Binding:
        """The binding of a revision."""
        found = self._bindings.get(revision)
        return found if found is not None else await self._bind(revision)

    async def _bind(self, revision: RevisionHash) -> Binding:
        version = await self.db.read(lambda tx: fleets.find_version_of(tx, revision))
        if version is None:
            raise NotFound(f"no revision `{revision}`", hint="apply the fleet folder it came from")
        fleet = await self.fleet(version)
        for agent in fleet.agents.values():
            self._bindings.setdefault(agent.revision, Binding(agent=agent, fleet=fleet))
        if revision not in self._bindings:
            raise Corrupt(f"fleet `{version}` does not hold revision `{revision}`")
        return self._bindings[revision]

    async def fleet(self, version: str) -> Fleet:
        """The fleet of a version, loaded from its stored files."""
        if version not in self._fleets:
            files = await self.db.read(lambda tx: fleets.find_files(tx, version))
            if files is None:
                raise NotFound(f"no fleet version `{version}`")
            self._fleets[version] = load(files)
        return self._fleets[version]

    async def in_force(self) -> Fleet | None:
        """The fleet in force now, if any was applied."""
        version = (await self.db.read(standing.get)).fleet_version
        return None if version is None else await self.fleet(version)

    async def agent_in_force(self, name: str) -> Binding:
        """The binding a new run of this agent starts with."""
        fleet = await self.in_force()
        if fleet is None:
            raise NotFound("no fleet is in force", hint="run: quarterdeck apply DIR")
        agent = fleet.agents.get(AgentName(name))
        if agent is None:
            known = ", ".join(f"`{a}`" for a in sorted(fleet.agents)) or "none"
            raise NotFound(f"no agent `{name}`", hint=f"the fleet has: {known}")
        return await self.of(agent.revision)
