"""Runs: start, end, list, show."""

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from quarterdeck.checkpoint.bindings import Binding, Bindings
from quarterdeck.checkpoint.opening import PREFIX, Opening, Starter
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.errors import Conflict, Invalid, NotFound
from quarterdeck.domain.ids import RunId, TeamName
from quarterdeck.domain.labels import Labels
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import SEARCH_WORDS_MAX, page_rows
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.domain.runs import RunFilters, RunOutcome
from quarterdeck.domain.words import words_of
from quarterdeck.guards.redact import redact
from quarterdeck.services.replies import EVERY_TIME, Once
from quarterdeck.sources import ID_CHARACTERS, Clock, Dice, Ids
from quarterdeck.store import actions, approvals, handoffs, ledger, payloads, run_words, runs
from quarterdeck.store.database import Database, Reading, Row, Transaction
from quarterdeck.store.keys import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRun:
    """A run under way; `credential` is shown this once and kept only as a hash."""

    id: RunId
    agent: str
    revision: str
    credential: str
    binding: Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The use cases of runs."""

    db: Database
    bindings: Bindings
    keyring: Keyring
    clock: Clock
    ids: Ids
    dice: Dice

    async def start(
        self,
        caller: Caller,
        agent: str,
        given: dict[str, Any],
        *,
        kind: str,
        once: Once = EVERY_TIME,
    ) -> StartedRun:
        """Start a run of an agent at its revision in force; `kind` is `runner` or `external`."""
        authorise(caller, "start", agent=agent)
        if kind not in ("runner", "external"):
            raise Invalid(f"`{kind}` is not a kind of run", hint="use `runner` or `external`")
        binding = await self.bindings.agent_in_force(agent)
        if not caller.sees(binding.agent.team):
            raise NotFound(f"no agent `{agent}`", hint="see `quarterdeck agents list`")
        return await self.start_bound(caller, binding, given, kind=kind, once=once)

    async def start_bound(
        self,
        caller: Caller,
        binding: Binding,
        given: dict[str, Any],
        *,
        kind: str,
        once: Once = EVERY_TIME,
    ) -> StartedRun:
        """Start a run of an agent at the revision it is bound to, in force or not."""
        agent = binding.agent.name
        authorise(caller, "start", agent=agent)
        run, credential = RunId(self.ids.new("run")), PREFIX + self.dice.token()
        labels: Labels = frozenset(("agent",)) if caller.agent is not None else labelling.NONE
        starter = Starter(id=caller.id, kind=kind, labels=labels)
        opening = Opening(keyring=self.keyring, clock=self.clock, dice=self.dice)
        opened = await opening.run(binding, given, starter, run, credential)
        started = StartedRun(
            id=run,
            agent=agent,
            revision=binding.agent.revision,
            credential=credential,
            binding=binding,
        )
        await self.db.write(once.writing(opened.write, started))
        return started

    async def end(
        self, caller: Caller, run: RunId, outcome: RunOutcome, *, once: Once = EVERY_TIME
    ) -> None:
        """End a run: its credential dies with it. Ending it again is a conflict."""
        authorise(caller, "start", agent=caller.agent)
        row = await self._get(caller, run)
        authorise(caller, "start", agent=row["agent"])
        redacted = await self._redacted(row["team"], outcome)
        await self.db.write(once.writing(lambda tx: self._end(tx, run, redacted)))

    async def _redacted(self, team: TeamName, outcome: RunOutcome) -> RunOutcome:
        pseudonyms = await self.keyring.pseudonyms(team)
        written = orjson.dumps({"because": outcome.because[:2000], "result": outcome.result})
        kept = orjson.loads(redact(written, pseudonyms).body)
        return RunOutcome(state=outcome.state, because=kept["because"], result=kept["result"])

    def _end(self, tx: Transaction, run: RunId, outcome: RunOutcome) -> None:
        if not runs.end(tx, run, outcome):
            raise Conflict(f"run `{run}` has ended before")
        lapsed = approvals.lapse(tx, run)
        if outcome.state == "escalated":
            handoffs.open_for_run(tx, run, outcome.because, outcome.result)
        runs.forget_sealing_key(tx, run)
        run_words.put(tx, run, words_of(outcome.because))
        body: dict[str, Any] = {"run": run, "state": outcome.state, "because": outcome.because}
        if lapsed:  # nothing that waited for a person can be proposed any more
            body["lapsed"] = lapsed
        ledger.append(
            tx, Entry(kind="run_ended", subject=run, body=body), self.dice.bytes(NONCE_BYTES)
        )

    async def show(self, caller: Caller, run: str) -> dict[str, Any]:
        """A run with its totals and its redacted input."""
        authorise(caller, "read")
        row = await self._get(caller, run)
        totals = await self.db.read(lambda tx: runs.totals(tx, run))
        given = await self.db.read(lambda tx: payloads.get(tx, row["input"]))
        return {**_listed(row), **dict(totals), **_more(row), "input": orjson.loads(given)}

    async def list_page(
        self,
        caller: Caller,
        filters: RunFilters,
        *,
        before: str = "",
        rows: int = 0,
    ) -> list[dict[str, Any]]:
        """Runs, newest first; `before` is the id the page before ended with."""
        authorise(caller, "read")
        if caller.team is not None:
            if filters.team not in ("", caller.team):
                return []
            filters = replace(filters, team=caller.team)
        count = page_rows(rows)

        def read(tx: Reading) -> list[dict[str, Any]]:
            resolved = _resolved(tx, filters)
            if resolved is None:
                return []
            return [
                {**_listed(row), **dict(runs.totals(tx, row["id"]))}
                for row in runs.list_page(tx, resolved, before, count)
            ]

        return await self.db.read(read)

    async def _get(self, caller: Caller, run: str) -> Row:
        row = await self.db.read(lambda tx: runs.find(tx, run))
        if row is None or not caller.sees(row["team"]):
            raise NotFound(f"no run `{run}`", hint="see `quarterdeck runs list`")
        return row


def _resolved(tx: Reading, filters: RunFilters) -> RunFilters | None:
    """What a person typed as filters: an id, its beginning, or words. `None` fits no run."""
    text = filters.text.strip()
    if not text:
        return filters
    if text.startswith("run_"):
        return replace(filters, prefix=text[:ID_CHARACTERS])
    if text.startswith("act_"):
        row = actions.find(tx, text)
        return None if row is None else replace(filters, prefix=row["run"])
    # The longest word is mostly the rarest, and the first is the one whose rows are walked.
    words = sorted(words_of(text, SEARCH_WORDS_MAX), key=len, reverse=True)
    return replace(filters, words=tuple(words)) if words else None


_LISTED: Final = (
    "id", "agent", "team", "revision", "state", "kind", "started_by", "started_at", "ended_at",
    "because", "correlation",
)  # fmt: skip


def _listed(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in _LISTED}


def _more(row: Row) -> dict[str, Any]:
    result = row["result"]
    return {
        "labels": row["labels"].split(),
        "deadline": row["deadline"],
        "result": None if result is None else orjson.loads(result),
    }
