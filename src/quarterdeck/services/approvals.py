"""Approvals: what waits for a person, the exact call it is about, and their answer.

INVARIANT: an answer is about exactly what was shown: it names the digest. It is given by a person;
no run and no agent's key ever answers, so whoever asks is never who allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.checkpoint.earlier import action_of
from quarterdeck.checkpoint.sealing import Seals
from quarterdeck.domain.approvals import Answer, shown_state
from quarterdeck.domain.errors import Conflict, NotFound, Overtaken
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import page_rows
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.services.actions import reasons_of, recorded_request
from quarterdeck.services.decisions import get_for_decision, kept_reason
from quarterdeck.sources import Dice
from quarterdeck.store import actions, approvals, ledger, plans, runs, standing
from quarterdeck.store.database import Database, Reading, Row, Transaction
from quarterdeck.store.keys import Keyring

_STATES: Final = {"approve": "granted", "deny": "denied"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """The use cases of approvals."""

    db: Database
    keyring: Keyring
    seals: Seals
    dice: Dice

    async def list_page(
        self,
        caller: Caller,
        *,
        states: Sequence[str] = (),
        run: str = "",
        before: str = "",
        rows: int = 0,
    ) -> list[dict[str, Any]]:
        """Approvals, newest first; `before` is the id the page before ended with."""
        authorise(caller, "read")
        count = page_rows(rows)

        def read(tx: Reading) -> list[dict[str, Any]]:
            incarnation = standing.get(tx).incarnation
            found = approvals.list_page(
                tx, states=states, team=caller.team or "", run=run, before=before, rows=count
            )
            return [_listed(row, incarnation) for row in found]

        return await self.db.read(read)

    async def show(self, caller: Caller, approval: str) -> dict[str, Any]:
        """One approval with the redacted arguments of the call it is about."""
        authorise(caller, "read")
        return await self.db.read(lambda tx: _shown(tx, caller, approval))

    async def reveal(self, caller: Caller, approval: str) -> dict[str, Any]:
        """The exact arguments, to whoever may answer; that they looked is recorded (I-9)."""
        row = await self._get(caller, approval)
        held = await self.db.read(lambda tx: actions.find(tx, row["action"]))
        assert held is not None, "an approval is about an action"
        arguments = await self.seals.find_arguments(action_of(held))
        if arguments is None:
            raise Conflict(
                f"the exact arguments of `{approval}` are destroyed: its run has ended",
                hint="what is recorded of them is in the approval itself",
            )
        body = {"approval": approval, "action": row["action"], "by": caller.id}
        await self.db.write(lambda tx: self._record(tx, "approval_revealed", approval, body))
        return {"id": approval, "digest": row["digest"], "arguments": orjson.loads(arguments)}

    async def answer(
        self, caller: Caller, approval: str, said: Answer, *, digest: str, because: str = ""
    ) -> dict[str, Any]:
        """Allow or deny exactly the call that was shown; whoever comes second is told who did."""
        row = await self._get(caller, approval)
        kept = await kept_reason(self.keyring, row["team"], because)

        def write(tx: Transaction) -> dict[str, Any]:
            current = approvals.get_locked(tx, approval)
            assert current is not None, "an approval stays where it is"
            _check(tx, current, digest)
            approvals.answer(tx, approval, _STATES[said], by=caller.id, because=kept)
            if said == "approve":
                _keep_alive(tx, current["run"])
            facts = {"action": row["action"], "run": row["run"], "digest": row["digest"]}
            body = {"approval": approval, **facts, "by": caller.id, "because": kept}
            self._record(tx, f"approval_{_STATES[said]}", approval, body)
            answered = approvals.find(tx, approval)
            assert answered is not None, "it was answered just now"
            return _listed(answered, standing.get(tx).incarnation)

        return await self.db.write(write)

    async def _get(self, caller: Caller, approval: str) -> Row:
        return await get_for_decision(
            self.db, caller, lambda tx: approvals.find(tx, approval), _missing(approval)
        )

    def _record(self, tx: Transaction, kind: str, approval: str, body: dict[str, Any]) -> None:
        entry = Entry(kind=kind, subject=approval, body=body)
        ledger.append(tx, entry, self.dice.bytes(NONCE_BYTES))


def _check(tx: Transaction, row: Row, digest: str) -> None:
    """Raise unless it waits, for this incarnation, and is what was shown."""
    approval = row["id"]
    if row["digest"] != digest:
        raise Overtaken(
            f"`{approval}` is not about what you were shown: the digests differ",
            hint="look at it again, and answer what you see then",
        )
    state = shown_state(row["state"], is_current=row["incarnation"] == standing.get(tx).incarnation)
    run = runs.find(tx, row["run"])
    over = run is None or run["state"] != "running" or run["deadline"] <= tx.now
    if state == "waiting" and not over:
        return
    if row["answered_by"]:
        did = "denied" if row["state"] == "denied" else "approved"
        raise Conflict(
            f"`{row['answered_by']}` has {did} `{approval}` already",
            hint=f"see it: quarterdeck approvals show {approval}",
        )
    why = "the database was restored since" if state == "void" else "its run has ended"
    raise Conflict(f"`{approval}` waits for nobody any more: {why}", hint="nothing was done")


def _keep_alive(tx: Transaction, run: str) -> None:
    """What was allowed can be done: waiting for a person is no reason to lose the credential.

    One that has lapsed while it waited lives again, up to the run's deadline; an ended run's never.
    """
    row = runs.find(tx, run)
    if row is not None and row["state"] == "running" and row["deadline"] > tx.now:
        runs.renew_credential(tx, row["id"], row["deadline"])


def _missing(approval: str) -> NotFound:
    return NotFound(f"no approval `{approval}`", hint="see `quarterdeck approvals list`")


_LISTED: Final = (
    "id", "action", "run", "agent", "team", "revision", "kind", "target", "digest", "asked_at",
    "answered_at", "answered_by", "because", "spent_by",
)  # fmt: skip


def _listed(row: Row, incarnation: str) -> dict[str, Any]:
    shown = {name: row[name] for name in _LISTED}
    state = shown_state(row["state"], is_current=row["incarnation"] == incarnation)
    shown |= {"state": state, "labels": row["labels"].split()}
    return shown | {"consequences": orjson.loads(row["consequences"])}


def _shown(tx: Reading, caller: Caller, approval: str) -> dict[str, Any]:
    row = approvals.find(tx, approval)
    if row is None or not caller.sees(row["team"]):
        raise _missing(approval)
    held = actions.find(tx, row["action"])
    assert held is not None, "an approval is about an action"
    shown = _listed(row, standing.get(tx).incarnation)
    shown["reasons"] = reasons_of(held)
    shown["arguments"] = recorded_request(tx, held["request"])
    shown["plan"] = plans.find_plan_of(tx, row["action"])
    return shown
