"""The fleet at a glance: each agent's state and readiness, what it spends, what needs a person.

INVARIANT (I-14): a budget window nobody has opened is shown as unused only because nothing can be
charged without opening it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from quarterdeck.checkpoint.bindings import Binding, Bindings
from quarterdeck.domain.budgets import windows
from quarterdeck.domain.cards import Card, card_of
from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.fleets import Agent, Cap, Fleet
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.domain.suggestions import void_of
from quarterdeck.fleet.diff import changes
from quarterdeck.settings import Settings
from quarterdeck.sources import Clock
from quarterdeck.store import approvals, overview, secrets, suggestions
from quarterdeck.store.database import Database, Reading, Row

TREND_DAYS: Final = 14
WAITING_SHOWN: Final = 5
REVISIONS_SHOWN: Final = 12
_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One cap of a scope in its present window, and how much of it is used."""

    scope: str
    unit: str
    period: str
    cap: int
    charged: int
    held: int

    @property
    def used(self) -> int:
        """What is no longer there to be spent."""
        return self.charged + self.held

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.cap


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReading:
    """An agent at a glance."""

    name: str
    team: str
    owner: str
    purpose: str
    autonomy: str
    revision: str
    frozen: str
    problems: tuple[str, ...]
    running: int
    runs_today: Mapping[str, int]
    today: Mapping[str, int]
    trend: tuple[int, ...]
    uses: tuple[Use, ...]
    latest: Row | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for a person: how many, and the newest of them."""

    handoffs: int
    handoffs_newest: tuple[dict[str, Any], ...]
    in_doubt: int
    in_doubt_newest: tuple[dict[str, Any], ...]
    approvals: int
    approvals_newest: tuple[dict[str, Any], ...]
    suggestions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReading:
    """The whole fleet at a glance; no name means that none is in force."""

    name: str
    version: str
    today: str
    days: tuple[str, ...]
    agents: tuple[AgentReading, ...]
    uses: tuple[Use, ...]
    freezes: tuple[Row, ...]
    waiting: Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision an agent had, and what it changed against the one before."""

    hash: str
    fleet_version: str
    applied_at: int
    applied_by: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPageReading:
    """One agent: its card, what it may use, how much of it is used, its revisions."""

    agent: AgentReading
    binding: Binding
    card: Card
    days: tuple[str, ...]
    revisions: tuple[Revision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The use cases of looking at the fleet."""

    db: Database
    bindings: Bindings
    settings: Settings
    clock: Clock

    async def fleet(self, caller: Caller) -> FleetReading:
        """Everything at once."""
        authorise(caller, "read")
        fleet, now = await self.bindings.in_force(), self.clock.now()
        days = _days(now)
        missing = await self._missing(fleet)
        read = await self.db.read(lambda tx: _Read.of(tx, fleet, now, days[0], caller=caller))
        agents = [] if fleet is None else sorted(fleet.agents.values(), key=lambda a: a.name)
        return FleetReading(
            name="" if fleet is None else fleet.name,
            version="" if fleet is None else fleet.version,
            today=days[-1],
            days=days,
            agents=tuple(
                _agent(agent, read, days, missing) for agent in agents if caller.sees(agent.team)
            ),
            uses=_shared_uses(fleet, read.budgets, now, caller),
            freezes=tuple(read.freezes),
            waiting=read.waiting,
        )

    async def caps(self, caller: Caller) -> tuple[Use, ...]:
        """The caps that agents share, with what is used of them."""
        authorise(caller, "read")
        fleet, now = await self.bindings.in_force(), self.clock.now()
        ids = _windows(fleet, [], now)
        budgets = await self.db.read(lambda tx: overview.list_budgets(tx, ids))
        return _shared_uses(fleet, budgets, now, caller)

    async def agent(self, caller: Caller, name: str) -> AgentPageReading:
        """One agent of the fleet in force."""
        authorise(caller, "read")
        fleet, now = await self.bindings.in_force(), self.clock.now()
        agent = None if fleet is None else fleet.agents.get(name)  # type: ignore[call-overload]  # a name from an address
        if fleet is None or agent is None or not caller.sees(agent.team):
            raise NotFound(f"no agent `{name[:80]}`", hint="see `quarterdeck agents list`")
        days = _days(now)
        missing = await self._missing(fleet)
        read = await self.db.read(
            lambda tx: _Read.of(tx, fleet, now, days[0], caller=caller, only=agent.name)
        )
        binding = Binding(agent=agent, fleet=fleet)
        return AgentPageReading(
            agent=_agent(agent, read, days, missing),
            binding=binding,
            card=card_of(binding.agent, binding.fleet),
            days=days,
            revisions=await self._revisions(agent),
        )

    async def _missing(self, fleet: Fleet | None) -> frozenset[str]:
        """Vendors whose secret is not set: calls of them fail."""
        if fleet is None:
            return frozenset()
        kept = {row["name"] for row in await self.db.read(secrets.list_names)}
        return frozenset(
            name
            for name, vendor in fleet.vendors.items()
            if vendor.secret is not None
            and vendor.secret not in kept
            and vendor.secret.lower() not in self.settings.secrets
        )

    async def _revisions(self, agent: Agent) -> tuple[Revision, ...]:
        rows = await self.db.read(
            lambda tx: overview.list_revisions(tx, agent.name, REVISIONS_SHOWN + 1)
        )
        fleets = [await self.bindings.fleet(row["fleet_version"]) for row in rows]
        made = []
        for place, row in enumerate(rows[:REVISIONS_SHOWN]):
            before = fleets[place + 1] if place + 1 < len(rows) else None
            made.append(
                Revision(
                    hash=row["hash"],
                    fleet_version=row["fleet_version"],
                    applied_at=row["applied_at"],
                    applied_by=row["applied_by"] or "",
                    changes=_changed(before, fleets[place], agent.name),
                )
            )
        return tuple(made)


def _changed(before: Fleet | None, after: Fleet, agent: str) -> tuple[str, ...]:
    """What a change of the folder meant for one agent: itself, its tools, its vendors."""
    if before is None:
        return ("first seen",)
    now = after.agents.get(agent)  # type: ignore[call-overload]  # a name is a string
    if now is None:
        return ("left the fleet",)
    touching = {("agent", agent), *(("tool", tool) for tool in now.tools)}
    touching |= {("vendor", model.vendor) for model in now.models}
    found = (c for c in changes(before, after) if (c.noun, c.name) in touching)
    return tuple(str(change) for change in found) or ("nothing that this page can name",)


def _days(now: datetime) -> tuple[str, ...]:
    today = now.date()
    return tuple((today - timedelta(days=back)).isoformat() for back in reversed(range(TREND_DAYS)))


@dataclass(frozen=True, slots=True)
class _Read:
    """What one read transaction found."""

    budgets: Mapping[str, Row]
    running: Mapping[str, int]
    started: Mapping[str, Mapping[str, int]]
    latest: Mapping[str, Row | None]
    tallies: Mapping[tuple[str, str], Row]
    freezes: Sequence[Row]
    waiting: Waiting
    now: datetime

    @classmethod
    def of(
        cls,
        tx: Reading,
        fleet: Fleet | None,
        now: datetime,
        since: str,
        *,
        caller: Caller,
        only: str = "",
    ) -> "_Read":
        """Everything the overview shows, at one moment."""
        agents = [] if fleet is None else [a for a in fleet.agents.values() if only in ("", a.name)]
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        today = int(midnight.timestamp()) * _MICROS
        tallies = overview.tallies_of_agents(tx, since)
        return cls(
            budgets=overview.list_budgets(tx, _windows(fleet, agents, now)),
            running=overview.count_running(tx),
            started={a.name: overview.count_since(tx, a.name, today) for a in agents},
            latest={a.name: overview.find_latest(tx, a.name) for a in agents},
            tallies={(row["agent"], row["day"]): row for row in tallies},
            freezes=overview.list_freezes(tx),
            waiting=_waiting(tx, fleet, caller.team or ""),
            now=now,
        )


def _uses(
    budgets: Mapping[str, Row], scope: str, caps: tuple[Cap, ...], now: datetime
) -> tuple[Use, ...]:
    """The caps of a scope with what is used of them."""
    found = []
    for budget, cap in windows({scope: caps}, now).items():
        if cap is None:
            continue
        row = budgets.get(budget)
        found.append(
            Use(
                scope=scope,
                unit=cap.unit,
                period=cap.period,
                cap=cap.amount,
                charged=0 if row is None else row["charged"],
                held=0 if row is None else row["held"],
            )
        )
    return tuple(found)


def _shared_uses(
    fleet: Fleet | None, budgets: Mapping[str, Row], now: datetime, caller: Caller
) -> tuple[Use, ...]:
    """The caps that agents share: of the fleet, for those who see all of it, and of teams."""
    if fleet is None:
        return ()
    found = _uses(budgets, "fleet", fleet.caps, now) if caller.team is None else ()
    for name, caps in fleet.teams.items():
        if caller.sees(name):
            found += _uses(budgets, f"team:{name}", caps, now)
    return found


def _windows(fleet: Fleet | None, agents: Sequence[Agent], now: datetime) -> list[str]:
    if fleet is None:
        return []
    scopes = {f"agent:{agent.name}": agent.caps for agent in agents}
    scopes |= {"fleet": fleet.caps, **{f"team:{name}": caps for name, caps in fleet.teams.items()}}
    return [budget for budget, cap in windows(scopes, now).items() if cap is not None]


def _waiting(tx: Reading, fleet: Fleet | None, team: str) -> Waiting:
    def newest(state: str) -> tuple[dict[str, Any], ...]:
        return tuple(dict(row) for row in overview.list_notable(tx, state, team, WAITING_SHOWN))

    handed = [
        {**row, "because": orjson.loads(row["body"]).get("because") or ""}
        for row in overview.list_handoffs(tx, team, WAITING_SHOWN)
    ]
    return Waiting(
        handoffs=overview.count_handoffs(tx, team),
        handoffs_newest=tuple(handed),
        in_doubt=overview.count_notable(tx, "in_doubt", team),
        in_doubt_newest=newest("in_doubt"),
        approvals=approvals.count_waiting(tx, team),
        approvals_newest=tuple(
            dict(row)
            for row in approvals.list_page(
                tx, states=("waiting",), team=team, run="", before="", rows=WAITING_SHOWN
            )
        ),
        suggestions=suggestions.count_open(
            tx, team, void_of(fleet, suggestions.list_open_calls(tx))
        ),
    )


def _agent(agent: Agent, read: _Read, days: Sequence[str], missing: frozenset[str]) -> AgentReading:
    scopes = ("fleet", f"team:{agent.team}", f"agent:{agent.name}")
    frozen = next((row for row in read.freezes if row["scope"] in scopes), None)
    uses = _uses(read.budgets, f"agent:{agent.name}", agent.caps, read.now)
    problems = [
        f"the secret of vendor {model.vendor} is not set"
        for model in agent.models
        if model.vendor in missing
    ]
    problems += [f"its budget of this {use.period} is spent" for use in uses if use.is_spent]
    if not agent.models:
        problems.append("it has no model")
    if frozen is not None:
        problems.append(f"{frozen['scope']} is frozen")
    today = read.tallies.get((agent.name, days[-1]))
    counted = ("actions", "refused", "failed", "cost_nanousd")
    return AgentReading(
        name=agent.name,
        team=agent.team,
        owner=agent.owner,
        purpose=agent.purpose,
        autonomy=agent.autonomy,
        revision=agent.revision,
        frozen="" if frozen is None else str(frozen["reason"]) or "frozen",
        problems=tuple(dict.fromkeys(problems)),
        running=read.running.get(agent.name, 0),
        runs_today=read.started.get(agent.name, {}),
        today={name: 0 if today is None else today[name] for name in counted},
        trend=tuple(
            0 if (row := read.tallies.get((agent.name, day))) is None else row["cost_nanousd"]
            for day in days
        ),
        uses=uses,
        latest=read.latest.get(agent.name),
    )
