"""A world that crashes: real SQLite, the real checkpoint, and a process that dies anywhere.

Goal: whatever dies wherever, and however tasks interleave, the promises of the checkpoint hold.
Method: a seed decides what is proposed, where the process dies (before a commit, after one whose
answer nobody hears, before, inside and after an effect, between admission and settlement) and when
it comes back. People answer what is held, plans are made and asked for again. After every death
the database is closed as it is and opened by a new process, which sweeps. At the end all is
settled and the books are checked against the effects that happened.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from quarterdeck.checkpoint import plans
from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.recording import Recorder
from quarterdeck.checkpoint.spool import Spool
from quarterdeck.domain.actions import Cleared, Content, Held, Proposal, Receipt, Tokens
from quarterdeck.domain.attempts import Attempt
from quarterdeck.domain.errors import Conflict, Unidentified
from quarterdeck.domain.ledger import canonical, commitment
from quarterdeck.domain.limits import HOLD_LAPSE_SECONDS, PROCESS_LEASE_SECONDS, REPEAT_SECONDS
from quarterdeck.domain.money import Usage
from quarterdeck.domain.people import Caller
from quarterdeck.domain.plans import Step
from quarterdeck.keys import SealingKey
from quarterdeck.loops.settle_spooled import settle_spooled
from quarterdeck.loops.sweep_actions import sweep_actions
from quarterdeck.services.approvals import Approvals
from quarterdeck.services.changes import Changes
from quarterdeck.services.runs import Runs
from quarterdeck.store import actions, budgets, standing
from quarterdeck.store.database import Database, Needs, ReadFunction, T, WriteFunction, nothing
from quarterdeck.store.keys import Keyring
from quarterdeck.store.sqlite import SqliteDatabase
from quarterdeck.store.standing import Process
from tests.doubles import CountingIds, SeededDice, SteppingClock
from tests.fleets import files

OWNER = Caller(id="local:test", role="owner")
SECOND = b"""  second:
    dialect: openai
    base_url: http://127.0.0.1:9/v2
    prices: {small-2: {input: "0.3", output: "1.2"}}
"""
TARGETS = ("small-1", "look_up", "file_note", "pay", "wipe", "nope")


class Crash(BaseException):
    """The process dies here."""


@dataclass
class CrashingDatabase:
    """The real database, reached by a process that may die on either side of a commit."""

    inner: SqliteDatabase
    world: "World"
    dialect: str = "sqlite"

    async def write(
        self, fn: WriteFunction[T], *, needs: Needs = nothing, patient: bool = False
    ) -> T:
        """Write, unless the process dies before it, or before it hears of it."""
        await self.world.pause("before a commit")
        result: T = await self.inner.write(fn, needs=needs, patient=patient)
        await self.world.pause("after a commit")
        return result

    def read(self, fn: ReadFunction[T]) -> Awaitable[T]:
        """Read."""
        return self.inner.read(fn)

    async def close(self) -> None:
        """Close."""
        await self.inner.close()


@dataclass
class World:
    """Everything that outlives a process."""

    seed: int
    folder: Path
    crash_chance: float = 0.02
    down_chance: float = 0.05
    targets: tuple[str, ...] = TARGETS
    clock: SteppingClock = field(default_factory=SteppingClock)
    ids: CountingIds = field(default_factory=CountingIds)
    effects: Counter[str] = field(default_factory=Counter)
    keyed: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    runs: list[Any] = field(default_factory=list)
    plans: list[tuple[str, str]] = field(default_factory=list)
    waiting: list[Proposal] = field(default_factory=list)
    late: list[tuple[Cleared, Receipt]] = field(default_factory=list)
    armed: bool = False

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.master = SealingKey(b"m" * 32, SeededDice(self.seed))

    async def pause(self, where: str) -> None:
        """Let others go first, or die."""
        for _ in range(self.dice.randint(0, 2)):
            await asyncio.sleep(0)
        if self.armed and self.dice.random() < self.crash_chance:
            self.crashes[where] += 1
            raise Crash(where)

    async def effect(self, cleared: Cleared) -> Receipt:
        """What happens outside. A key makes a repeat of an idempotent tool harmless out there."""
        await self.pause("before an effect")
        dice = self.dice.random()
        if dice < self.down_chance:
            nothing = Receipt(status="not_attempted", result=b"", detail={"error": "it is down"})
            if self.armed and dice < 0.01:
                # Given up before it began: by the time it says so, another may have begun.
                self.late.append((cleared, nothing))
                self.crashes["with word that comes late that nothing was begun"] += 1
                raise Crash("late")
            return nothing
        self.effects[cleared.action.id] += 1
        self.keyed[f"{cleared.action.target}:{cleared.action.id}"] += 1
        await self.pause("inside an effect")
        dice = self.dice.random()
        if dice < 0.03:
            raise TimeoutError
        if dice < 0.06:
            raise ValueError("the tool broke")
        if self.armed and self.dice.random() < 0.02:
            # The process stops here for so long that it is given up; its receipt comes later.
            self.late.append((cleared, Receipt(status="done", result=b"{}")))
            self.crashes["with a receipt that comes late"] += 1
            raise Crash("late")
        if cleared.action.kind == "model":
            # Now and then a vendor bills above what was asked for: an overrun.
            output = 5000 if dice < 0.1 else self.dice.randint(0, 90)
            usage = Usage(input=self.dice.randint(1, 40), output=output)
            return Receipt(
                status="done",
                result=b"{}",
                content=Content(rest=b'{"said":"yes"}'),
                usage=usage,
                usage_source="reported",
                attempts=await self.attempts(usage) if self.dice.random() < 0.5 else (),
            )
        return Receipt(status="done", result=b"{}", cost_nanousd=cleared.bound.nanousd)

    async def attempts(self, usage: Usage) -> tuple[Attempt, ...]:
        """One that was refused, perhaps one nobody knows of, and the one that answered."""
        tried = [Attempt(vendor="local", model="small-1", end="error", status=503)]
        await self.pause("between attempts")
        if self.dice.random() < 0.5:
            took = self.dice.randint(0, 1000)
            tried.append(Attempt(vendor="local", model="small-1", end="unanswered", took_ms=took))
            await self.pause("between attempts")
        tried.append(Attempt(vendor="second", model="small-2", end="answered", usage=usage))
        return tuple(tried)


@dataclass
class Life:
    """One process, from its start to its death."""

    world: World
    db: Database
    checkpoint: Checkpoint
    runs: Runs
    changes: Changes
    people: Approvals
    process: Process

    @classmethod
    async def begin(cls, world: World) -> "Life":
        """Start a process on the database as the last one left it."""
        process = Process(id=world.ids.new("prc"), role="all", host="here", pid=1)
        inner = SqliteDatabase(world.folder / "q.db", writer=process.id, clock=world.clock)
        db: Database = CrashingDatabase(inner, world)
        dice = SeededDice(world.ids.count)
        keyring = Keyring(db, world.master, dice, {})
        bindings = Bindings(db)
        checkpoint = Checkpoint(
            db=db,
            bindings=bindings,
            recorder=Recorder(keyring),
            keyring=keyring,
            clock=world.clock,
            ids=world.ids,
            dice=dice,
            process=process.id,
            spool=Spool(world.folder / "spool", world.master),
        )
        runs = Runs(
            db=db, bindings=bindings, keyring=keyring, clock=world.clock, ids=world.ids, dice=dice
        )
        changes = Changes(db=db, bindings=bindings, clock=world.clock, dice=dice)
        people = Approvals(db=db, keyring=keyring, seals=checkpoint.seals, dice=dice)
        life = cls(world, db, checkpoint, runs, changes, people, process)
        await inner.write(lambda tx: standing.found(tx, "inc_1"))
        await inner.write(lambda tx: standing.renew_lease(tx, process))
        await inner.write(lambda tx: standing.end_other_leases(tx, process.id))
        checkpoint.watch.noticed = await inner.read(standing.get)
        return life

    async def work(self, proposals: int) -> None:
        """Several tasks propose at once until one of them kills the process or all are done."""
        tasks = [asyncio.create_task(self._task(proposals // 4)) for _ in range(4)]
        tasks.append(asyncio.create_task(self._loops()))
        tasks += [asyncio.create_task(self._person(name)) for name in ("ann", "bob")]
        tasks.append(asyncio.create_task(self._planner()))
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in pending:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(
                error, Crash | asyncio.CancelledError
            ):
                raise error
        del done

    async def _task(self, proposals: int) -> None:
        for _ in range(proposals):
            outcome: object
            proposal = self._proposal()
            try:
                outcome = await self.checkpoint.carry_out(proposal, self.world.effect)
                if isinstance(outcome, Held):
                    self.world.waiting.append(replace(proposal, approval=outcome.approval))
            except (Conflict, Unidentified) as error:
                outcome = error
            self.world.outcomes[type(outcome).__name__] += 1
            if self.world.dice.random() < 0.05:
                self.world.clock.push(REPEAT_SECONDS + 1)

    async def _person(self, name: str) -> None:
        """Somebody who answers what waits, at the same time as somebody else."""
        caller = Caller(id=f"local:{name}", role="owner")
        for _ in range(6):
            await self.world.pause("before an answer")
            for asked in await self.people.list_page(caller, states=("waiting",)):
                said: Any = "approve" if self.world.dice.random() < 0.7 else "deny"
                with contextlib.suppress(Conflict):
                    await self.people.answer(caller, asked["id"], said, digest=asked["digest"])

    async def _planner(self) -> None:
        """Plans that are made, carried out, and asked for once more than that."""
        run = self.world.dice.choice(self.world.runs)
        for _ in range(2):
            steps = [
                Step(
                    number=n,
                    target=self.world.dice.choice(("look_up", "pay", "wipe")),
                    arguments=orjson.dumps({"n": self.world.dice.randint(0, 3)}),
                    idempotency_key=None,
                )
                for n in (1, 2, 3)
            ]
            judged = await plans.judge(self.checkpoint, run.credential, steps)
            self.world.plans.append((run.credential, judged.id))
            for credential, plan in self.world.plans[-2:]:
                with contextlib.suppress(Conflict):
                    await plans.carry_out(self.checkpoint, credential, plan, self.world.effect)

    async def _loops(self) -> None:
        for _ in range(5):
            await self.tick()
            await asyncio.sleep(0)

    async def tick(self) -> None:
        """The background work."""
        await self.db.write(lambda tx: standing.renew_lease(tx, self.process))
        await settle_spooled(self.checkpoint)
        await sweep_actions(self.checkpoint, self.world.effect)

    async def settle_late(self) -> None:
        """Receipts of a process that was given up: the first word stands."""
        for cleared, receipt in self.world.late:
            with contextlib.suppress(Conflict):
                await self.checkpoint.settle(cleared, receipt)
        self.world.late.clear()

    def _proposal(self) -> Proposal:
        dice = self.world.dice
        if self.world.waiting and dice.random() < 0.3:
            again = dice.choice(self.world.waiting)  # whoever was held asks once more
            return again if dice.random() < 0.5 else replace(again, approval=None)
        target = dice.choice(self.world.targets)
        arguments = orjson.dumps({"n": dice.randint(0, 3)})
        model = target == "small-1"
        return Proposal(
            credential=dice.choice(self.world.runs).credential,
            kind="model" if model else "tool",
            dialect="openai" if model else None,
            target=target,
            arguments=arguments,
            content=Content(parts=(arguments,), rest=b"{}"),
            tokens=Tokens(input_max=40, output_max=100) if model else None,
            idempotency_key=dice.choice([None, None, f"k{dice.randint(0, 20)}"]),
        )


def with_fallback(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """The fleet with a second, dearer vendor entry behind the first."""
    bound = b"{vendor: local, model: small-1}"
    second = bound.replace(b"}", b", fallback: {vendor: second, model: small-2}}")
    return dict(found) | {
        "fleet.yaml": found["fleet.yaml"] + SECOND,
        "agents/clerk.yaml": found["agents/clerk.yaml"].replace(bound, second),
    }


async def live(world: World, *, lives: int = 4, proposals: int = 24) -> Life:
    """Lives and deaths, then one last life that settles everything. Returns it, still open."""
    life = await Life.begin(world)
    caps = {"agent_cap": "0.5", "team_cap": str(world.dice.choice(["0.05", "0.5", "5"]))}
    await life.changes.apply(OWNER, with_fallback(files(**caps)))
    for _ in range(3):
        world.runs.append(await life.runs.start(OWNER, "clerk", {"text": "hi"}, kind="external"))
    for _ in range(lives):
        world.armed = True
        await life.work(proposals)
        world.armed = False
        await life.db.close()
        world.clock.push(world.dice.choice([1, PROCESS_LEASE_SECONDS + 1]))
        life = await Life.begin(world)
        if world.dice.random() < 0.5:
            await life.tick()
        await life.settle_late()
    for _ in range(4):
        world.clock.push(HOLD_LAPSE_SECONDS + 1)
        await life.tick()
    return life


async def check(world: World, life: Life) -> None:
    """The promises, from the books and the effects that really happened."""
    rows = await life.db.read(lambda tx: list(tx.rows("select * from actions")))
    by_id = {row["id"]: row for row in rows}
    asked = await life.db.read(lambda tx: list(tx.rows("select * from approvals")))
    _check_effects(world, by_id, {row["spent_by"]: row for row in asked if row["spent_by"]})
    _check_approvals(world, by_id, asked)
    await _check_uses(world, life.db)
    await check_money(life.db, rows)
    await check_ledger(life.db, rows)


def _check_approvals(world: World, by_id: dict[str, Any], asked: list[Any]) -> None:
    for row in asked:
        held = by_id[row["action"]]
        assert held["state"] == "held", "a card is about an action that is held"
        assert (held["digest"], held["run"]) == (row["call"], row["run"])
        if row["spent_by"] is not None:
            assert (row["state"], bool(row["answered_by"])) == ("spent", True)
            used = by_id[row["spent_by"]]
            same = (used["run"], used["target"], used["digest"], used["revision"])
            assert same == (row["run"], row["target"], row["call"], row["revision"])
    spent = [row["spent_by"] for row in asked if row["spent_by"]]
    assert len(spent) == len(set(spent)), "each is spent by an action of its own"
    world.outcomes["approvals spent"] += len(spent)
    cards = {row["action"] for row in asked}
    assert {row["id"] for row in by_id.values() if row["state"] == "held"} == cards


async def _check_uses(world: World, db: Database) -> None:
    """However often an approval was given back and used again, one effect came out of it."""
    leaves = await db.read(lambda tx: list(tx.rows("select data, body from leaves")))
    used: dict[str, list[str]] = {}
    for leaf in leaves:
        kind = orjson.loads(leaf["data"])["kind"]
        if kind == "approval_spent":
            body = orjson.loads(leaf["body"])
            used.setdefault(body["approval"], []).append(body["action"])
        world.outcomes["approvals given back"] += kind == "approval_returned"
    for approval, by in used.items():
        effects = sum(world.effects[action] for action in by)
        assert effects <= 1, f"{approval}: {effects} effects came out of one approval"


def _check_effects(world: World, by_id: dict[str, Any], approved: dict[str, Any]) -> None:
    for action, count in world.effects.items():
        assert action in by_id, f"{action}: an effect without a committed intent"
        row = by_id[action]
        if row["answer"] == "ask":
            assert action in approved, f"{action}: an effect that nobody has allowed"
        else:
            assert row["answer"] == "allow", f"{action}: an effect that was not allowed"
        if row["target"] not in ("look_up", "file_note"):
            assert count == 1, f"{action}: an effect that may happen once happened {count} times"
    for row in by_id.values():
        tried = orjson.loads(row["detail"] or "{}").get("attempts", ())
        if tried:
            costs = sum(attempt.get("cost_nanousd", 0) for attempt in tried)
            assert row["cost_nanousd"] == costs, "each attempt at its own price, and no more"
            assert all("usage" not in a for a in tried if a["end"] == "error")
        if row["state"] == "not_attempted":
            assert row["id"] not in world.effects, f"{row['id']}: it was begun all the same"
        detail = row["detail"] or ""
        lapsed = "its process ended" in detail or "nobody knows" in detail
        if row["usage_source"] == "estimated" and lapsed:
            held = sum(h.amount for h in actions.reservation_of(row).holds if h.unit == "nanousd")
            each = held // len(actions.reservation_of(row).holds)
            assert row["cost_nanousd"] == each, "a lapsed hold is charged in full"
        if row["state"] in ("refused", "held", "suggested"):
            assert row["id"] not in world.effects, f"{row['id']}: refused and done all the same"


async def check_money(db: Database, rows: list[Any]) -> None:
    """What budgets hold and were charged is what their actions hold and cost, to the nano-USD."""
    held: Counter[str] = Counter()
    charged: Counter[str] = Counter()
    for row in rows:
        for hold in actions.reservation_of(row).holds:
            if actions.is_open(row):
                held[hold.budget] += hold.amount
            elif row["state"] in ("done", "failed"):
                charged[hold.budget] += row["cost_nanousd"]
    for scope in ("fleet", "team:desk", "agent:clerk"):
        for budget in await db.read(partial(budgets.list_open, scope=scope)):
            assert budget.held == held[budget.id], "held is what open actions hold, no more"
            assert budget.charged == charged[budget.id], "charged is what settled actions cost"
            if budget.cap is not None:
                assert budget.charged + budget.held <= budget.cap + budget.overrun
    tallied = await db.read(
        lambda tx: tx.row("select coalesce(sum(cost_nanousd), 0) as n from tallies")
    )
    assert tallied is not None
    assert tallied["n"] == sum(row["cost_nanousd"] for row in rows)


async def check_ledger(db: Database, rows: list[Any]) -> None:
    """Every decision has its leaf, every settlement its own, and the chains have no gap."""
    leaves = await db.read(lambda tx: list(tx.rows("select * from leaves order by writer, number")))
    previous: dict[str, tuple[int, str]] = {}
    bodies: Counter[tuple[str, str]] = Counter()
    by_id = {row["id"]: row for row in rows}
    for leaf in leaves:
        said = orjson.loads(leaf["data"])
        number, before = previous.get(leaf["writer"], (0, ""))
        assert leaf["number"] == number + 1, "a writer's leaves are gapless"
        assert said["previous"] == before, "each leaf names the one before it"
        previous[leaf["writer"]] = (leaf["number"], leaf["hash"].hex())
        bodies[(said["kind"].split(":")[0], said["subject"])] += 1
        if said["kind"] == "doubted" and '"orphaned"' in leaf["body"]:
            owner = orjson.loads(leaf["body"])["process"]
            assert owner != leaf["writer"], "a sweep touches nothing of a live process"
        if leaf["body"] is None:
            columns = actions.SETTLED if said["kind"].startswith("settled") else actions.ADMITTED
            row = by_id[said["subject"]]
            body = canonical({name: row[name] for name in columns})
            assert commitment(body, leaf["nonce"]).hex() == said["commitment"], "row and leaf agree"
    for row in rows:
        first = "admitted" if row["not_after"] is not None else row["state"]
        assert bodies[(first, row["id"])] == 1, f"{row['id']}: its decision is in the ledger once"
        if row["not_after"] is not None and not actions.is_open(row):
            assert bodies[("settled", row["id"])] == 1, f"{row['id']}: settled once"
