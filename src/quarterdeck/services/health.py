"""Health: what `doctor` looks at, and what to do about each thing that is not as it should be.

INVARIANT (I-14): what could not be looked at is `unknown`, never `ok`.
"""

import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.spool import Spool
from quarterdeck.domain import accounts
from quarterdeck.domain.circuits import LineState
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.limits import (
    CLEARANCE_SECONDS_MAX,
    DISK_FREE_BYTES_MIN,
    SEAL_SECONDS_MAX,
    SECRET_AGE_DAYS_MAX,
)
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.keys import read_master
from quarterdeck.services.definitions import Definitions
from quarterdeck.services.secrets import age_days
from quarterdeck.settings import Settings
from quarterdeck.sources import Clock, SystemDice
from quarterdeck.store import doubts, health, leaves, ledger, migrations, secrets, standing
from quarterdeck.store.database import Database, Reading

State: TypeAlias = Literal["ok", "warn", "fail", "unknown"]
DISK_WARN_FACTOR: Final = 8
UNSEALED_SECONDS_MAX: Final = 30 * SEAL_SECONDS_MAX
CLOCK_SECONDS_WARN: Final = 1
_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at; `do` says what to do where it is not `ok`."""

    name: str
    state: State
    sentence: str
    do: str = ""


Answer: TypeAlias = tuple[State, str, str]


def worst(checks: Iterable[Check]) -> State:
    """The state of the whole: a failure before a warning, and not knowing before all is well."""
    states = {check.state for check in checks}
    order: tuple[State, ...] = ("fail", "warn", "unknown")
    return next((state for state in order if state in states), "ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The use case of `doctor`."""

    db: Database
    settings: Settings
    bindings: Bindings
    clock: Clock
    lines: Callable[[], tuple[LineState, ...]] = tuple
    servers: Callable[[], tuple[LineState, ...]] = tuple
    definitions: Definitions | None = None

    async def check(self, caller: Caller) -> tuple[Check, ...]:
        """Look at everything once. Names of secrets appear, their values never."""
        authorise_whole(caller, "read")
        looks: tuple[tuple[str, Callable[[], Awaitable[Answer]]], ...] = (
            ("database", self._database),
            ("disk", self._disk),
            ("database disk", self._database_disk),
            ("master key", self._master_key),
            ("clock", self._clock),
            ("processes", self._processes),
            ("fleet", self._fleet),
            ("secrets", self._secrets),
            ("upstream accounts", self._accounts),
            ("vendors", self._vendors),
            ("servers", self._servers),
            ("definitions", self._definitions),
            ("actions in doubt", self._in_doubt),
            ("spool", self._spool),
            ("ledger", self._ledger),
            ("ledger witness", self._witness),
        )
        return tuple([await _looked(name, look) for name, look in looks])

    async def answer(self) -> None:
        """Come back as soon as the database has answered. For anybody: it says nothing else."""
        await health.check_alive(self.db)

    async def _database(self) -> Answer:
        try:
            found = await self.db.read(lambda tx: health.schema(tx, self.db.dialect))
        except QuarterdeckError as error:
            return "fail", error.message, error.hint
        if found != migrations.newest():
            return (
                "fail",
                f"the database is at schema {found}, this program knows {migrations.newest()}",
                "restart every process with the same version of quarterdeck",
            )
        return "ok", f"{self.db.dialect} answers, schema {found}", ""

    async def _disk(self) -> Answer:
        free = shutil.disk_usage(self.settings.folder).free
        sentence = f"{free // 2**20} MiB free where `{self.settings.folder}` is"
        if free < DISK_FREE_BYTES_MIN:
            return "fail", f"{sentence}: no new action is admitted", "make room now"
        if free < DISK_FREE_BYTES_MIN * DISK_WARN_FACTOR:
            stop = DISK_FREE_BYTES_MIN // 2**20
            return "warn", sentence, f"make room: below {stop} MiB no new action is admitted"
        return "ok", sentence, ""

    async def _database_disk(self) -> Answer:
        if self.db.dialect == "sqlite":
            return "ok", "the database is in the data folder", ""
        return (
            "unknown",
            "the disk of the PostgreSQL server cannot be seen from here",
            "watch its free space where the server runs",
        )

    async def _master_key(self) -> Answer:
        path = self.settings.master_key_file
        try:
            master = read_master(path, SystemDice())
            row = await self.db.read(health.find_wrapped)
            if row is None:
                return "unknown", f"`{path}` is private; there is no key yet that it must open", ""
            master.open(row["name"], bytes(row["wrapped"]))
        except QuarterdeckError as error:
            if error.code == "unavailable" and path.is_file():
                raise
            return "fail", error.message, error.hint
        return "ok", f"`{path}` is private and opens what is sealed", ""

    async def _clock(self) -> Answer:
        now = self.clock.micros()
        head = await self.db.read(ledger.find_head)
        server = await self.db.read(lambda tx: health.find_time(tx, self.db.dialect))
        right = "set the clock right on every machine (NTP)"
        if head is not None and head["at"] - now > CLEARANCE_SECONDS_MAX * _MICROS:
            seconds = (head["at"] - now) // _MICROS
            return "fail", f"the clock is {seconds} s before the ledger's newest head", right
        if server is None:
            return "ok", "the clock is not behind the ledger", ""
        apart = abs(server - now) / _MICROS
        sentence = f"this clock and the database server's are {apart:.1f} s apart"
        if apart >= CLEARANCE_SECONDS_MAX:
            return "fail", f"{sentence}: clearances end before they can be used", right
        return ("warn", sentence, right) if apart > CLOCK_SECONDS_WARN else ("ok", sentence, "")

    async def _processes(self) -> Answer:
        now = self.clock.micros()
        live = await self.db.read(lambda tx: standing.live(tx, now))
        if not live:
            return "warn", "no process holds a lease", "start one: quarterdeck up"
        names = ", ".join(f"{row['role']} on {row['host']} (pid {row['pid']})" for row in live[:8])
        more = f" and {len(live) - 8} more" if len(live) > 8 else ""
        return "ok", f"{len(live)} alive: {names}{more}", ""

    async def _fleet(self) -> Answer:
        fleet = await self.bindings.in_force()
        if fleet is None:
            return "warn", "no fleet is in force", "run: quarterdeck apply DIR"
        count = f"{len(fleet.agents)} agents and {len(fleet.tools)} tools"
        return "ok", f"`{fleet.name}` {fleet.version[:12]} with {count}", ""

    async def _secrets(self) -> Answer:
        fleet = await self.bindings.in_force()
        if fleet is None:
            return "unknown", "no fleet is in force, so nothing names a secret", ""
        kept = {row["name"]: row["set_at"] for row in await self.db.read(secrets.list_names)}
        wanted = {n for n in accounts.named(fleet) if n.lower() not in self.settings.secrets}
        missing = sorted(wanted - kept.keys())
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            do = f"run: quarterdeck secrets set {missing[0]}"
            return "fail", f"not set: {names}: calls of their vendors and servers fail", do
        now = self.clock.micros()
        ages = {name: age_days(kept[name], now) for name in sorted(wanted)}
        old = [name for name, days in ages.items() if days > SECRET_AGE_DAYS_MAX]
        if old:
            names = ", ".join(f"`{name}` ({ages[name]} days)" for name in old)
            do = f"make a new one where it came from, then: quarterdeck secrets rotate {old[0]}"
            return "warn", f"older than {SECRET_AGE_DAYS_MAX} days: {names}", do
        return "ok", "every secret that the fleet names is set, and none is old", ""

    async def _accounts(self) -> Answer:
        fleet = await self.bindings.in_force()
        if fleet is None:
            return "unknown", "no fleet is in force, so nobody uses an account", ""
        shared = accounts.shared(fleet)
        if not shared:
            return "ok", "no two agents use one upstream account", ""
        words = "; ".join(f"`{name}`: {', '.join(sorted(who))}" for name, who in shared.items())
        return (
            "warn",
            f"agents share an upstream account by one secret: {words}",
            "give each agent a secret of its own: a vendor entry, or `secret` under its `servers`",
        )

    async def _vendors(self) -> Answer:
        """Circuits are kept by each process for itself: these are those of the one that answers."""
        lines = self.lines()
        shut = [line for line in lines if line.circuit != "closed"]
        if shut:
            words = ", ".join(f"`{w.vendor}` is {w.circuit.replace('_', ' ')}" for w in shut)
            do = "calls go to its fallback or are answered 503; see its own status page and its key"
            return "warn", f"vendors that have been failing: {words}", do
        if not lines:
            return "ok", "this process has not called a vendor yet", ""
        calls = sum(line.calls for line in lines)
        return "ok", f"{len(lines)} vendor entries answer, {calls} calls are under way", ""

    async def _servers(self) -> Answer:
        """The same of MCP servers and HTTP APIs."""
        lines = self.servers()
        shut = [line for line in lines if line.circuit != "closed"]
        if shut:
            words = ", ".join(f"`{s.vendor}` is {s.circuit.replace('_', ' ')}" for s in shut)
            do = "calls of their tools are not attempted; see whether they run, and their own logs"
            return "warn", f"servers that have been failing: {words}", do
        if not lines:
            return "ok", "this process has not called a server yet", ""
        calls = sum(line.calls for line in lines)
        return "ok", f"{len(lines)} servers answer, {calls} calls are under way", ""

    async def _definitions(self) -> Answer:
        """What MCP servers offer, and what of it is not what somebody granted."""
        if self.definitions is None:
            return "unknown", "no MCP server is asked here", ""
        quarantined = await self.definitions.quarantined()
        if quarantined:
            words = ", ".join(f"`{tool.name}` ({tool.state})" for tool in quarantined[:8])
            more = f" and {len(quarantined) - 8} more" if len(quarantined) > 8 else ""
            do = f"look at it: quarterdeck tools diff {quarantined[0].name}"
            return "warn", f"tools in quarantine: {words}{more}", do
        sick = [state for state in self.definitions.states() if state.problem]
        if sick:
            words = "; ".join(f"`{state.server}`: {state.problem}" for state in sick[:4])
            more = f" and {len(sick) - 4} more" if len(sick) > 4 else ""
            do = f"see that it runs: quarterdeck servers show {sick[0].server}"
            return "warn", f"servers that could not be looked at: {words}{more}", do
        known = [state for state in self.definitions.states() if state.listed_at]
        if not known:
            return "ok", "this process has not looked at an MCP server yet", ""
        count = sum(state.tools for state in known)
        return "ok", f"{len(known)} MCP servers offer {count} tools; what is granted is pinned", ""

    def circuits(self) -> dict[str, int]:
        """How many vendor entries are in which state. For anybody: it names none."""
        return dict(Counter(line.circuit for line in self.lines()))

    async def _in_doubt(self) -> Answer:
        row = await self.db.read(health.count_in_doubt)
        since = self.clock.micros() - 24 * 3600 * _MICROS
        ended = await self.db.read(lambda tx: doubts.list_ended(tx, since))
        if not row["count"] and ended:
            return (
                "warn",
                f"none now; {len(ended)} ended in the last day, and nobody knows whether they"
                " took place",
                f"look at the newest: quarterdeck actions show {ended[0]}",
            )
        if not row["count"]:
            return "ok", "none", ""
        return (
            "warn",
            f"of {row['count']} actions nobody knows whether they took place",
            f"look at the oldest: quarterdeck actions show {row['oldest']}",
        )

    async def _spool(self) -> Answer:
        master = read_master(self.settings.master_key_file, SystemDice())
        waiting = Spool(self.settings.folder / "spool", master).list_names()
        if not waiting:
            return "ok", "no receipt waits to be committed", ""
        return (
            "warn",
            f"{len(waiting)} receipts wait beside the database to be committed",
            "see that the database is reachable and has room: they are committed by themselves",
        )

    async def _ledger(self) -> Answer:
        count, oldest = await self.db.read(_unsealed)
        if not count:
            return "ok", "every entry is under a signed head", ""
        age = max(0, self.clock.micros() - oldest) // _MICROS
        sentence = f"{count} entries wait to be sealed, the oldest for {age} s"
        if age > UNSEALED_SECONDS_MAX:
            return "warn", sentence, "see that a process runs (quarterdeck up), and its log"
        return "ok", sentence, ""

    async def _witness(self) -> Answer:
        return (
            "warn",
            "no head of the ledger leaves this place, so a rewritten history could look whole",
            "keep heads elsewhere, and often: quarterdeck ledger head",
        )


async def _looked(name: str, look: Callable[[], Awaitable[Answer]]) -> Check:
    """The answer of one look; where it could not be taken, it is unknown."""
    try:
        state, sentence, do = await look()
    except QuarterdeckError as error:
        state, sentence, do = "unknown", f"could not look: {error.message}", error.hint
    except OSError as error:
        state, sentence, do = (
            "unknown",
            f"could not look: {error.strerror}",
            "check the data folder",
        )
    return Check(name=name, state=state, sentence=sentence, do=do)


def _unsealed(tx: Reading) -> tuple[int, int]:
    """How many leaves no head covers, and the time of the oldest."""
    waiting = ledger.unsealed(tx)
    times = [leaves.time_of(tx, w.writer, w.sealed + 1) for w in waiting]
    return sum(w.count for w in waiting), min(times, default=0)
