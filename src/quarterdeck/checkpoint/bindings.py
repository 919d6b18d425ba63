"""Which fleet a run is bound to: the one its revision was applied in, not the newest."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from quarterdeck.domain.errors import Corrupt, NotFound
from quarterdeck.domain.fleets import Agent, Cap, Dialect, Fleet, takes
from quarterdeck.domain.ids import AgentName, BudgetId, RevisionHash
from quarterdeck.fleet.load import load
from quarterdeck.store import fleets, standing
from quarterdeck.store.database import Database

NameT = TypeVar("NameT", bound=str)
PartT = TypeVar("PartT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """An agent at a revision, in the fleet it was applied with."""

    agent: Agent
    fleet: Fleet
    windows: dict[str, Mapping[BudgetId, Cap | None]] = field(default_factory=dict)
    allowances: dict[tuple[Dialect, str], frozenset[str]] = field(default_factory=dict)

    def allowed(self, dialect: Dialect, model: str = "") -> frozenset[str]:
        """What may be done beyond the safe default by the vendor of a model of the agent.

        Without a model, what any of its vendors may do that take requests of this dialect.
        """
        found = self.allowances.get((dialect, model))
        if found is None:
            bound = [m for m in self.agent.models if model in ("", m.model)]
            vendors = [self.fleet.vendors[m.vendor] for m in bound]
            taking = [v.allow for v in vendors if takes(v.dialect, dialect)]
            found = frozenset().union(*(taking if model == "" else taking[:1]))
            if bound:  # what is asked for and not the agent's would fill this for ever
                self.allowances[(dialect, model)] = found
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
            self._keep(load(files))
        return self._fleets[version]

    def applied(self, fleet: Fleet) -> None:
        """A fleet that is stored now: its files need not be read again."""
        if fleet.version not in self._fleets:
            self._keep(fleet)

    def _keep(self, fleet: Fleet) -> None:
        """Know a fleet; what it has in common with the newest one known is kept once.

        Runs stay with the fleet they are bound to, so many are known; an edit changes a few files.
        """
        if self._fleets:
            newest = next(reversed(self._fleets.values()))
            tools = _shared(fleet.tools, newest.tools)
            fleet = replace(fleet, tools=tools, servers=_shared(fleet.servers, newest.servers))
        self._fleets[fleet.version] = fleet

    async def in_force(self, loaded: Fleet | None = None) -> Fleet | None:
        """The fleet in force now, if any was applied; not read again where `loaded` is it."""
        version = (await self.db.read(standing.get)).fleet_version
        if loaded is not None and version == loaded.version:
            self.applied(loaded)
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


def _shared(parts: Mapping[NameT, PartT], known: Mapping[NameT, PartT]) -> dict[NameT, PartT]:
    """The parts by name; each that is known and the same is the known one."""
    return {
        name: before if (before := known.get(name)) is not None and before == part else part
        for name, part in parts.items()
    }
