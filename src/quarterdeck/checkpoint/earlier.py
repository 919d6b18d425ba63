"""What was asked before: the same answer again, from its row and what was sealed of it."""

from dataclasses import dataclass
from typing import Any

import orjson

from quarterdeck.checkpoint.sealing import Seals
from quarterdeck.domain import doubts
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.actions import Action, Done, Held, InDoubt, Receipt, Suggested
from quarterdeck.domain.ids import ActionId, AgentName, ApprovalId, RevisionHash, RunId, TeamName
from quarterdeck.domain.verdicts import Reason, Verdict
from quarterdeck.store.database import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The row of an action asked before; its sealed answer is opened outside the transaction.

    `approval` is what it waits for, if it is held.
    """

    row: Row
    approval: ApprovalId | None = None


async def answered(earlier: Earlier, seals: Seals) -> Done | InDoubt | Held | Suggested:
    """The outcome of an action asked before."""
    row = earlier.row
    action = action_of(row)
    if row["state"] == "held":
        return Held(action=action, verdict=verdict_of(row), approval=earlier.approval)
    if row["state"] == "suggested":
        return Suggested(action=action, verdict=verdict_of(row))
    if row["state"] in ("begun", "in_doubt") or doubts.is_unknown(_detail(row)):
        return InDoubt(action=action)  # never "failed": it would be done by another way
    stored = await seals.find_answer(action)
    answer: dict[str, Any] = {"result": "", "detail": {}}
    if stored is not None:
        answer = orjson.loads(stored)
    receipt = Receipt(
        status=row["state"] if row["state"] in ("done", "failed") else "failed",
        result=answer["result"].encode("latin-1"),
        cost_nanousd=row["cost_nanousd"],
        detail=answer["detail"],
    )
    return Done(action=action, receipt=receipt)


def _detail(row: Row) -> dict[str, Any]:
    return {} if row["detail"] is None else dict(orjson.loads(row["detail"]))


def action_of(row: Row) -> Action:
    """An action as its row remembers it; the arguments themselves are only in the sealed store."""
    return Action(
        id=ActionId(row["id"]),
        run=RunId(row["run"]),
        agent=AgentName(row["agent"]),
        team=TeamName(row["team"]),
        revision=RevisionHash(row["revision"]),
        kind=row["kind"],
        target=row["target"],
        arguments=b"",
        digest=row["digest"],
        labels=labelling.parse(row["labels"]),
        mark=row["mark"],
        idempotency_key=row["idempotency_key"],
        proposed_at=row["proposed_at"],
    )


def verdict_of(row: Row) -> Verdict:
    """What the checkpoint answered, as an action's row remembers it."""
    reasons = tuple(Reason(rule, because) for rule, because in orjson.loads(row["reasons"]))
    return Verdict(row["answer"], reasons)
