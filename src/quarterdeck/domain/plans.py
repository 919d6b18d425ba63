"""Plans: a whole list of calls, judged before the first one is made, then carried out in order.

INVARIANT: judging makes none of them. A plan that was found valid promises nothing: each call is
asked anew when it is made.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Literal, TypeAlias

import msgspec

from quarterdeck.domain.budgets import Budget, Hold, Shortfall
from quarterdeck.domain.ids import BudgetId, PlanId
from quarterdeck.domain.ledger import canonical
from quarterdeck.domain.verdicts import Verdict

PlanAnswer: TypeAlias = Literal["valid", "invalid"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a plan; `arguments` are the bytes that will be sent."""

    number: int
    target: str
    arguments: bytes
    idempotency_key: str | None


def answer_of(verdicts: Sequence[Verdict]) -> PlanAnswer:
    """A plan is valid if nothing of it is denied; what asks or suggests may be in it."""
    return "invalid" if any(v.answer == "deny" for v in verdicts) else "valid"


def key_of(plan: PlanId, step: Step) -> str:
    """The key a step is carried out under, so that a plan asked for twice happens once."""
    return step.idempotency_key or f"{plan}:{step.number}"


def digest_of(steps: Sequence[Mapping[str, object]]) -> str:
    """What a plan says, as one hash (RFC 8785)."""
    return sha256(canonical({"steps": list(steps)})).hexdigest()


class Room:
    """The room in budgets that is left as a plan goes on: ten calls need room for ten."""

    def __init__(self) -> None:
        self._planned: dict[BudgetId, int] = {}

    def take(
        self, rows: Mapping[BudgetId, Budget], holds: Sequence[Hold], *, keep: bool
    ) -> Shortfall | None:
        """The budget that has too little room for this beside what was planned; else none.

        `keep` says that the call would be made: what would be refused takes no room.
        """
        for hold in holds:
            row, planned = rows[hold.budget], self._planned.get(hold.budget, 0)
            if row.cap is not None and row.held + row.charged + planned + hold.amount > row.cap:
                return Shortfall(
                    budget=row.id,
                    wanted=hold.amount,
                    held=row.held + planned,
                    charged=row.charged,
                    cap=row.cap,
                )
        if keep:
            for hold in holds:
                self._planned[hold.budget] = self._planned.get(hold.budget, 0) + hold.amount
        return None
