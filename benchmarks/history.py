"""A long history, written fast: a million actions in the real schema, by bulk inserts.

Rows, payloads, tallies and leaves are what the product itself would have written: `ledger verify`
finds nothing wrong with the result. Runs overlap, most are short, one is 45,000 actions long.

    python -m benchmarks.history FOLDER [--actions N] [--no-ledger]
    quarterdeck --data FOLDER up
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvloop

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.fleets import Agent, Fleet
from quarterdeck.domain.ledger import Entry, make_leaf
from quarterdeck.domain.people import Caller
from quarterdeck.domain.words import words_of
from quarterdeck.fleet.load import load
from quarterdeck.guards.redact import redact
from quarterdeck.keys import SealingKey, make_master
from quarterdeck.services.changes import Changes
from quarterdeck.sources import SystemDice, day_of, id_of
from quarterdeck.store import actions, ledger, payloads, standing
from quarterdeck.store.database import Database, Transaction
from quarterdeck.store.keys import Keyring
from quarterdeck.store.sqlite import SqliteDatabase

OWNER = Caller(id="local:history", role="owner")
DICE = SystemDice()
INCARNATION = "inc_history"
DAY = 86_400 * 1_000_000
LIVE_RUNS = 24  # runs under way at any moment
GROUP = 200  # actions written in one transaction: their leaves are sealed under one head
TEAMS = ("support", "billing", "platform", "growth", "legal")
TOOLS = {
    "find_order": "read",
    "find_customer": "read",
    "search_articles": "read",
    "read_ticket": "read",
    "send_reply": "write",
    "tag_ticket": "write",
    "file_note": "write",
    "refund": "write",
}
MODELS = {"small-1": (150, 600), "large-1": (3_000, 15_000)}  # nano-USD a token
VOCABULARY = """
refund order parcel invoice card password login delivery delay damaged missing address cancel
upgrade plan charge twice receipt bank transfer return exchange size colour warranty repair
battery screen account locked email phone verify coupon discount subscription
"""
WORDS = VOCABULARY.split()
NOTABLE = (
    (0.9400, "done"),
    (0.9610, "failed"),
    (0.9860, "refused"),
    (0.9900, "held"),
    (0.9980, "suggested"),
    (1.0000, "not_attempted"),
)
ENDS = ((0.90, "succeeded"), (0.95, "failed"), (0.98, "escalated"), (1.0, "cancelled"))
_ANSWERS = {"refused": "deny", "held": "ask", "suggested": "suggest"}
_TOOL_NAMES = tuple(TOOLS)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How much history, and how it is spread."""

    actions: int = 1_000_000
    runs: int = 30_000
    longest: int = 45_000
    agents: int = 24
    days: int = 14
    seed: int = 1
    sealed: bool = True


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written, and where to look."""

    actions: int
    runs: int
    longest_run: str
    agents: tuple[str, ...]
    seconds: float


@dataclass
class Then:
    """A clock that stands where the history is."""

    at: int

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at / 1_000_000, UTC)

    def micros(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.at / 1_000_000


def fleet_files(agents: int) -> dict[str, bytes]:
    """A fleet of many agents in a few teams, as a folder."""
    teams = "\n".join(
        f'  {team}: {{owner: ann, budgets: [{{unit: usd, per: month, amount: "5000"}}]}}'
        for team in TEAMS
    )
    prices = ", ".join(
        f'{name}: {{input: "{i / 1000}", output: "{o / 1000}"}}' for name, (i, o) in MODELS.items()
    )
    files = {
        "fleet.yaml": "name: history\npeople: {ann: {name: Ann, role: owner}}\n"
        f"teams:\n{teams}\n"
        "vendors:\n  local:\n    dialect: openai\n    base_url: http://127.0.0.1:9/v1\n"
        f"    prices: {{{prices}}}\n",
        "prompts/agent.md": "You are an agent of a long history.",
        "tools/tools.py": "".join(
            f"def {name}(text: str = '') -> dict:\n    return {{'text': text}}\n\n"
            for name in TOOLS
        ),
    }
    for name, effect in TOOLS.items():
        files[f"tools/{name}.yaml"] = (
            f"name: {name}\ndescription: A tool of the history.\neffect: {effect}\n"
            "arguments: {type: object, properties: {text: {type: string}}}\n"
            'trust: trusted\nidempotent: true\nreversible: compensation\ncost: "0.001"\n'
            f"timeout_seconds: 5\npython: {{file: tools/tools.py, function: {name}}}\n"
            f"records: {{written: {1 if effect == 'write' else 0}}}\n"
        )
    for number in range(agents):
        files[f"agents/{_agent(number)}.yaml"] = (
            f"name: {_agent(number)}\nowner: ann\nteam: {TEAMS[number % len(TEAMS)]}\n"
            "purpose: Works through its queue.\nautonomy: L2\n"
            "models:\n  main: {vendor: local, model: small-1}\n"
            "  judge: {vendor: local, model: large-1}\n"
            f"prompt: prompts/agent.md\ntools: [{', '.join(TOOLS)}]\n"
            'budgets: [{unit: usd, per: day, amount: "50"}]\nradius: {written: 200000}\n'
        )
    return {path: text.encode() for path, text in files.items()}


def _agent(number: int) -> str:
    return f"agent-{number:02}"


async def fill(
    folder: Path, shape: Shape | None = None, *, say: Callable[[str], None] = print
) -> Written:
    """Make a data folder that holds a history; open it with `quarterdeck --data FOLDER up`."""
    shape = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = Then(int(time.time() * 1e6) - shape.days * DAY)
    master = make_master(folder / "master.key", DICE)
    db = SqliteDatabase(folder / "quarterdeck.db", writer="prc_history", clock=clock)
    # A crash in here costs a benchmark, not somebody's record.
    await db.write(lambda tx: tx.rows("pragma cache_size=-400000"))
    await db.write(lambda tx: tx.rows("pragma wal_autocheckpoint=20000"))
    try:
        return await fill_database(db, master, clock, shape, say=say)
    finally:
        await db.close()


async def fill_database(
    db: Database,
    master: SealingKey,
    clock: Then,
    shape: Shape,
    *,
    say: Callable[[str], None] = print,
) -> Written:
    """Write the history into an open, empty database of either kind."""
    began = time.perf_counter()
    keyring = Keyring(db, master, DICE, {})
    await db.write(lambda tx: standing.found(tx, INCARNATION))
    changes = Changes(db=db, bindings=Bindings(db), clock=clock, dice=DICE)
    files = fleet_files(shape.agents)
    await changes.apply(OWNER, files)
    author = Author(shape=shape, fleet=load(files), clock=clock)
    for team in TEAMS:
        await author.prepare(team, keyring)
    signer = await keyring.ledger_signer()
    for batch in author.batches():
        await db.write(batch.write)
        if shape.sealed:
            await ledger.seal_visible(db, signer)
        if author.written % 100_000 < GROUP:
            say(f"  {author.written:,} actions after {time.perf_counter() - began:.0f} s")
    await db.write(author.write_totals)
    return Written(
        actions=author.written,
        runs=author.runs_started,
        longest_run=author.longest_run,
        agents=tuple(sorted(author.fleet.agents)),
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class Talk:
    """A conversation that runs of a team have: its requests, turn by turn, and the answers."""

    requests: list[str]
    answers: list[str]


@dataclass
class Run:
    """A run under way."""

    id: str
    agent: Agent
    left: int
    talk: Talk
    row: dict[str, Any]
    turn: int = 0


@dataclass
class Batch:
    """Rows that are written in one transaction."""

    payloads: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    leaves: list[tuple[Entry, int, bool]] = field(default_factory=list)
    handoffs: list[dict[str, Any]] = field(default_factory=list)
    recorded: bool = True
    given: dict[str, Any] = field(default_factory=dict)

    def write(self, tx: Transaction) -> None:
        """Insert everything."""
        for table, rows in (
            ("payloads", self.payloads),
            ("runs", self.runs),
            ("actions", self.actions),
            ("handoffs", self.handoffs),
            ("run_words", self.words()),
            ("leaves", list(self._leaves(tx)) if self.recorded else []),
        ):
            if rows:
                tx.execute_many(_insert(table, rows[0]), rows)

    def words(self) -> list[dict[str, Any]]:
        """What the runs are found by."""
        return [
            {"word": word, "run": run["id"]}
            for run in self.runs
            for word in words_of([run["correlation"], run["because"] or "", self.given[run["id"]]])
        ]

    def _leaves(self, tx: Transaction) -> Iterator[dict[str, Any]]:
        chain = tx.chain
        for entry, at, keep in self.leaves:
            nonce = DICE.bytes(32)
            leaf = make_leaf(
                entry,
                writer=chain.writer,
                number=chain.number + 1,
                previous=chain.previous,
                at=at,
                nonce=nonce,
            )
            chain.number, chain.previous = leaf.number, leaf.hash
            yield {
                "writer": leaf.writer,
                "number": leaf.number,
                "data": leaf.data.decode("ascii"),
                "hash": leaf.hash,
                "body": leaf.body.decode() if keep else None,
                "nonce": nonce,
            }


def _insert(table: str, row: Mapping[str, Any]) -> str:
    return f"insert into {table} ({', '.join(row)}) values ({', '.join(f':{n}' for n in row)})"


@dataclass
class Author:
    """Makes the rows of a history, in the order of time."""

    shape: Shape
    fleet: Fleet
    clock: Then
    written: int = 0
    runs_started: int = 0
    longest_run: str = ""
    talks: dict[str, list[Talk]] = field(default_factory=dict)
    inputs: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    long_talk: Talk | None = None
    tallies: dict[tuple[str, ...], Counter[str]] = field(default_factory=dict)
    spent: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _given: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.shape.seed)

    async def prepare(self, team: str, keyring: Keyring) -> None:
        """Conversations of a team, each part stored once, as the recorder would."""
        key = await keyring.payload_key(team)  # type: ignore[arg-type]  # a name is a string
        pseudonyms = await keyring.pseudonyms(team)  # type: ignore[arg-type]  # a name is a string
        kept: dict[str, dict[str, Any]] = {}

        def put(kind: str, value: Any) -> str:
            made = payloads.make(team, key, kind, redact(orjson.dumps(value), pseudonyms))  # type: ignore[arg-type]  # a name is a string
            kept[made.hash] = {"hash": made.hash, "team": team, "kind": kind, "body": made.body}
            return made.hash

        def talk(turns: int) -> Talk:
            rest = put("rest", {"model": "small-1", "temperature": 0})
            parent: str | None = None
            requests, answers = [], []
            for turn in range(turns):
                said = {"role": "user", "content": self._sentence(24)}
                link = {"parent": parent, "keep": turn, "parts": [put("part", said)], "rest": rest}
                parent = put("sequence", link)
                requests.append(parent)
                answers.append(put("answer", {"role": "assistant", "content": self._sentence(40)}))
            return Talk(requests, answers)

        self.talks[team] = [talk(12) for _ in range(40)]
        self.inputs[team] = [
            (put("input", given), given)
            for given in (
                {"ticket": self.random.randrange(10**6), "text": self._sentence(12)}
                for _ in range(400)
            )
        ]
        if team == TEAMS[0] and self.shape.longest:
            self.long_talk = talk(self.shape.longest // 2)
        self._waiting += kept.values()

    def _sentence(self, words: int) -> str:
        return " ".join(self.random.choices(WORDS, k=words)) + f" {self.random.randrange(10**6)}"

    def batches(self) -> Iterator[Batch]:
        """The whole history, a transaction at a time."""
        shape = self.shape
        step = shape.days * DAY // (shape.actions * 2)
        live: list[Run] = []
        batch = self._batch()
        long_at = shape.actions // 3
        long: Run | None = None
        for number in range(shape.actions):
            if number == long_at and shape.longest:
                long = self._start(batch, longest=shape.longest)
            while len(live) < LIVE_RUNS:
                live.append(self._start(batch))
            self.clock.at += self.random.randrange(step, 3 * step)
            if long is not None and self.random.random() < 0.8:
                run = long
            else:
                run = self.random.choice(live)
            self._act(batch, run)
            if not run.left:
                self._end(batch, run)
                if run is long:
                    long = None
                else:
                    live.remove(run)
            if len(batch.actions) >= GROUP:
                yield batch
                batch = self._batch()
        for run in live[LIVE_RUNS // 4 :]:
            self._end(batch, run)
        batch.runs += [run.row for run in live[: LIVE_RUNS // 4]]  # these are still at work
        yield batch

    def _batch(self) -> Batch:
        batch = Batch(payloads=self._waiting, recorded=self.shape.sealed, given=self._given)
        self._waiting = []
        return batch

    def _start(self, batch: Batch, *, longest: int = 0) -> Run:
        chance = self.random
        mean = (self.shape.actions - self.shape.longest) / self.shape.runs
        count = longest or max(1, min(2_000, round(chance.expovariate(1 / mean))))
        # A few agents do most of the work.
        name = _agent(0 if longest else int(self.shape.agents * chance.random() ** 2.5))
        agent = self.fleet.agents[name]  # type: ignore[index]  # a name is a string
        now = self.clock.at
        id = id_of("run", now // 1000 << 80 | chance.getrandbits(80))
        by = f"agent:{name}" if chance.random() < 0.8 else "local:ann"
        given, self._given[id] = chance.choice(self.inputs[agent.team])
        row = {
            "id": id,
            "agent": name,
            "team": agent.team,
            "revision": agent.revision,
            "state": "running",
            "kind": "external" if chance.random() < 0.7 else "runner",
            "started_by": by,
            "correlation": f"ticket-{chance.randrange(10**6)}",
            "labels": "agent",
            "credential_hash": chance.randbytes(32),
            "credential_until": now + 3600 * 1_000_000,
            "deadline": now + DAY,
            "incarnation": INCARNATION,
            "started_at": now,
            "ended_at": None,
            "because": None,
            "input": given,
            "result": None,
        }
        body = {"run": id, "agent": name, "by": by, "revision": agent.revision}
        batch.leaves.append((Entry(kind="run_started", subject=id, body=body), now, True))
        self.runs_started += 1
        talk = chance.choice(self.talks[agent.team])
        if longest:
            assert self.long_talk is not None
            talk, self.longest_run = self.long_talk, id
        return Run(id=id, agent=agent, left=count, talk=talk, row=row)

    def _end(self, batch: Batch, run: Run) -> None:
        state = self._one_of(ENDS)
        because = "answered" if state == "succeeded" else self._sentence(8)
        result = {"text": self._sentence(10)}
        run.row.update(
            state=state,
            ended_at=self.clock.at,
            because=because,
            credential_until=0,
            result=orjson.dumps(result).decode(),
        )
        batch.runs.append(run.row)
        body = {"run": run.id, "state": state, "because": because}
        entry = Entry(kind="run_ended", subject=run.id, body=body)
        batch.leaves.append((entry, self.clock.at, True))
        if state == "escalated":
            context = orjson.dumps({"because": because, "context": result}).decode()
            closed = self.clock.at + 60_000_000 if self.random.random() < 0.98 else None
            batch.handoffs.append(
                {
                    "run": run.id,
                    "agent": run.agent.name,
                    "at": self.clock.at,
                    "body": context,
                    "closed_at": closed,
                }
            )

    def _one_of(self, shares: tuple[tuple[float, str], ...]) -> str:
        chance = self.random.random()
        return next(word for least, word in shares if chance < least)

    def _act(self, batch: Batch, run: Run) -> None:
        """One action, admitted and settled."""
        chance, now = self.random, self.clock.at
        run.left -= 1
        self.written += 1
        state = self._one_of(NOTABLE)
        if state == "done" and not run.left and chance.random() < 0.0005:
            state = "in_doubt"
        model = chance.random() < 0.6
        row = self._asked(run, state, now, model=model)
        kind = state if state in ("refused", "held", "suggested") else "admitted"
        body = {name: row[name] for name in actions.ADMITTED}
        batch.leaves.append((Entry(kind=kind, subject=row["id"], body=body), now, False))
        if kind == "admitted" and state != "in_doubt":
            self.clock.at = now + chance.randrange(200_000, 4_000_000) // 8
            self._settle(row, run, model=model)
            body = {name: row[name] for name in actions.SETTLED}
            entry = Entry(kind=f"settled:{state}", subject=row["id"], body=body)
            batch.leaves.append((entry, self.clock.at, False))
        if kind in ("admitted", "refused") and state != "in_doubt":
            self._count(row)
        batch.actions.append(row)

    def _asked(self, run: Run, state: str, now: int, *, model: bool) -> dict[str, Any]:
        chance = self.random
        turn = min(run.turn, len(run.talk.requests) - 1)
        target = "local/small-1" if chance.random() < 0.85 else "local/large-1"
        if not model:
            target = chance.choice(_TOOL_NAMES)
        answer = _ANSWERS.get(state, "allow")
        rule = f"grant:{'model' if model else 'tool'}:{target}"
        reasons = [[rule, f"granted to the agent `{run.agent.name}`"]]
        if answer != "allow":
            reasons.append([f"limit:{answer}", "beyond what it may do by itself"])
        held = [] if answer != "allow" else [[self._budget(run, now), "nanousd", 3_000_000]]
        return {
            "id": id_of("act", now // 1000 << 80 | chance.getrandbits(80)),
            "run": run.id,
            "agent": run.agent.name,
            "team": run.agent.team,
            "revision": run.agent.revision,
            "kind": "model" if model else "tool",
            "target": target,
            "mark": "enforced",
            "state": state,
            "answer": answer,
            "reasons": orjson.dumps(reasons).decode(),
            "labels": "agent",
            "digest": chance.randbytes(32).hex(),
            "idempotency_key": None,
            "process": "prc_history",
            "incarnation": INCARNATION,
            "proposed_at": now,
            "not_after": now + 5_000_000 if answer == "allow" else None,
            "settled_at": None,
            "holds": orjson.dumps(held).decode(),
            "price_version": "fleet:history" if answer == "allow" else None,
            "cost_nanousd": 0,
            "usage": None,
            "usage_source": None,
            "detail": None,
            "request": run.talk.requests[turn],
            "response": None,
        }

    def _budget(self, run: Run, now: int) -> str:
        return f"agent:{run.agent.name}/nanousd/day/{day_of(now)}"

    def _settle(self, row: dict[str, Any], run: Run, *, model: bool) -> None:
        row["settled_at"] = self.clock.at
        if row["state"] == "not_attempted":
            return
        if row["state"] == "failed":
            row["detail"] = '{"error":"the upstream answered with status 500"}'
            return
        turn = min(run.turn, len(run.talk.requests) - 1)
        row["response"] = run.talk.answers[turn]
        run.turn += 1
        row["cost_nanousd"] = 1_000_000
        if model:
            used = {
                "input": self.random.randrange(200, 4_000),
                "output": self.random.randrange(200),
            }
            prices = MODELS[row["target"].partition("/")[2]]
            row["cost_nanousd"] = used["input"] * prices[0] + used["output"] * prices[1]
            row["usage"], row["usage_source"] = orjson.dumps(used).decode(), "reported"

    def _count(self, row: dict[str, Any]) -> None:
        day = day_of(row["proposed_at"])
        key = (day, row["team"], row["agent"], row["kind"], row["target"])
        counted = self.tallies.setdefault(key, Counter())
        counted["actions"] += 1
        counted["failed"] += row["state"] == "failed"
        counted["refused"] += row["state"] == "refused"
        counted["cost_nanousd"] += row["cost_nanousd"]
        if row["usage"] is not None:
            counted.update(orjson.loads(row["usage"]))
        for scope in ("fleet", f"team:{row['team']}", f"agent:{row['agent']}"):
            self.spent[scope, "day", day] += row["cost_nanousd"]
            if scope.startswith("team:"):
                self.spent[scope, "month", f"{day[:7]}-01"] += row["cost_nanousd"]

    def write_totals(self, tx: Transaction) -> None:
        """Tallies and budgets, as all the settlements would have left them."""
        columns = (
            "actions", "failed", "refused", "cost_nanousd", "input", "cache_read", "cache_write",
            "output", "reasoning",
        )  # fmt: skip
        rows: list[dict[str, Any]] = [
            dict(zip(("day", "team", "agent", "kind", "target"), key, strict=True))
            | {name: counted[name] for name in columns}
            for key, counted in self.tallies.items()
        ]
        tx.execute_many(_insert("tallies", rows[0]), rows)
        budgets = [
            {
                "id": f"{scope}/nanousd/{period}/{start}",
                "cap": None,
                "held": 0,
                "charged": charged,
                "overrun": 0,
            }
            for (scope, period, start), charged in self.spent.items()
        ]
        tx.execute("delete from budgets")
        tx.execute_many(_insert("budgets", budgets[0]), budgets)


def main() -> None:
    """Fill a folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--actions", type=int, default=Shape.actions)
    parser.add_argument("--no-ledger", action="store_true")
    given = parser.parse_args()
    shape = scaled(given.actions, sealed=not given.no_ledger)
    print(uvloop.run(fill(given.folder, shape)))


def scaled(count: int, *, sealed: bool = True) -> Shape:
    """The usual history in the same proportions."""
    usual = Shape()
    return Shape(
        actions=count,
        runs=max(1, usual.runs * count // usual.actions),
        longest=usual.longest * count // usual.actions,
        sealed=sealed,
    )


if __name__ == "__main__":
    main()
