"""Runs opened: the row, the input and the key of a new run, written in one transaction.

Shared by what people and agents start (`services/runs.py`) and by what the platform opens for
people who come with MCP clients of their own (`gateways/mcp/people.py`).
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.ids import RunId
from quarterdeck.domain.labels import Labels
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.words import words_of
from quarterdeck.guards.redact import redact
from quarterdeck.keys import KEY_BYTES, credential_hash
from quarterdeck.sources import Clock, Dice
from quarterdeck.store import ledger, payloads, run_words, runs
from quarterdeck.store.database import Transaction
from quarterdeck.store.keys import Keyring

#: What every run's credential begins with.
PREFIX: Final = "qdr_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """Who starts a run, and what that makes of it."""

    id: str
    kind: str
    #: A run that an agent starts by itself is not clean: it begins with what agents say.
    labels: Labels = labelling.NONE
    #: What the run belongs to; else what it is given says so, or it is its own.
    correlation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
    """A run ready to be written."""

    row: runs.NewRun
    payload: payloads.Payload
    given: dict[str, Any]
    nonce: bytes

    def write(self, tx: Transaction) -> None:
        """Write it, with its ledger entry."""
        payloads.put(tx, [self.payload])
        runs.insert(tx, self.row)
        run_words.put(tx, self.row.id, words_of([self.row.correlation, self.given]))
        body = {
            "run": self.row.id,
            "agent": self.row.agent,
            "by": self.row.started_by,
            "revision": self.row.revision,
        }
        ledger.append(tx, Entry(kind="run_started", subject=self.row.id, body=body), self.nonce)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Makes runs ready."""

    keyring: Keyring
    clock: Clock
    dice: Dice

    async def run(
        self, binding: Binding, given: dict[str, Any], starter: Starter, run: RunId, credential: str
    ) -> OpenedRun:
        """A run of an agent at the revision it is bound to; what it is given is redacted."""
        agent = binding.agent
        team_key = await self.keyring.team_key(agent.team)
        pseudonyms = await self.keyring.pseudonyms(agent.team)
        redacted = redact(orjson.dumps(given), pseudonyms)
        key = await self.keyring.payload_key(agent.team)
        payload = payloads.make(agent.team, key, "input", redacted)
        kept = orjson.loads(redacted.body)
        row = runs.NewRun(
            id=run,
            agent=agent.name,
            team=agent.team,
            revision=agent.revision,
            kind=starter.kind,
            started_by=starter.id,
            correlation=str(starter.correlation or kept.get("correlation", run))[:128],
            labels=starter.labels,
            credential_hash=credential_hash(credential),
            deadline=self.clock.micros() + agent.run_seconds_max * 1_000_000,
            input=payload.hash,
            sealing_key=team_key.seal(run, self.dice.bytes(KEY_BYTES)),
        )
        return OpenedRun(row=row, payload=payload, given=kept, nonce=self.dice.bytes(NONCE_BYTES))
