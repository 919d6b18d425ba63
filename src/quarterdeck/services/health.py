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
from quarterdeck.domain.circuits import LineState
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.fleets import Fleet
from quarterdeck.domain.limits import (
    CLEARANCE_SECONDS_MAX,
    DISK_FREE_BYTES_MIN,
    SEAL_SECONDS_MAX,
)
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.keys import read_master
from quarterdeck.settings import Settings
from quarterdeck.sources import Clock, SystemDice
from quarterdeck.store import health, leaves, ledger, migrations, secrets, standing
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
        kept = {row["name"] for row in await self.db.read(secrets.list_names)}
        missing = sorted(
            {
                vendor.secret
                for vendor in fleet.vendors.values()
                if vendor.secret is not None
                and vendor.secret not in kept
                and vendor.secret.lower() not in self.settings.secrets
            }
        )
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            do = f"run: quarterdeck secrets set {missing[0]}"
            return "fail", f"not set: {names}: calls of their vendors fail", do
        return "ok", "every secret that a vendor names is set", ""

    async def _accounts(self) -> Answer:
        fleet = await self.bindings.in_force()
        if fleet is None:
            return "unknown", "no fleet is in force, so nobody uses an account", ""
        shared = {name: agents for name, agents in _users(fleet).items() if len(agents) > 1}
        if not shared:
            return "ok", "no two agents use one upstream account", ""
        words = "; ".join(f"`{name}`: {', '.join(sorted(who))}" for name, who in shared.items())
        return (
            "warn",
            f"agents share an upstream account by one secret: {words}",
            "give each agent a vendor entry with a secret of its own",
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

    def circuits(self) -> dict[str, int]:
        """How many vendor entries are in which state. For anybody: it names none."""
        return dict(Counter(line.circuit for line in self.lines()))

    async def _in_doubt(self) -> Answer:
        row = await self.db.read(health.count_in_doubt)
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


def _users(fleet: Fleet) -> dict[str, set[str]]:
    """Which agents use which secret of a vendor."""
    users: dict[str, set[str]] = {}
    for agent in fleet.agents.values():
        names = {m.vendor for m in agent.models}
        names |= {m.fallback.vendor for m in agent.models if m.fallback is not None}
        for name in names:
            secret = fleet.vendors[name].secret
            if secret is not None:
                users.setdefault(secret, set()).add(agent.name)
    return users


def _unsealed(tx: Reading) -> tuple[int, int]:
    """How many leaves no head covers, and the time of the oldest."""
    waiting = ledger.unsealed(tx)
    times = [leaves.time_of(tx, w.writer, w.sealed + 1) for w in waiting]
    return sum(w.count for w in waiting), min(times, default=0)
