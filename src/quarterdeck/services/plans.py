"""Plans, for reading: what an agent meant to do, what the rules said, what became of each call."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.limits import page_rows
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.services.actions import reasons_of, recorded_request
from quarterdeck.store import approvals, plans
from quarterdeck.store.database import Database, Reading, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The use cases of plans."""

    db: Database

    async def list_page(
        self, caller: Caller, *, run: str = "", before: str = "", rows: int = 0
    ) -> list[dict[str, Any]]:
        """Plans, newest first; `before` is the id the page before ended with."""
        authorise(caller, "read")
        count, team = page_rows(rows), caller.team or ""
        found = await self.db.read(
            lambda tx: plans.list_page(tx, run=run, team=team, before=before, rows=count)
        )
        return [_listed(row) | {"steps": int(row["steps"])} for row in found]

    async def show(self, caller: Caller, plan: str) -> dict[str, Any]:
        """One plan with its steps."""
        authorise(caller, "read")
        return await self._show(plan, lambda row: caller.sees(row["team"]))

    async def show_own(self, run: str, plan: str) -> dict[str, Any]:
        """One plan of the run that asks for it."""
        return await self._show(plan, lambda row: row["run"] == run)

    async def _show(self, plan: str, sees: Any) -> dict[str, Any]:
        def read(tx: Reading) -> dict[str, Any]:
            row = plans.find(tx, plan)
            if row is None or not sees(row):
                raise NotFound(f"no plan `{plan}`", hint="see `quarterdeck plans list`")
            return _listed(row) | {"steps": _steps(tx, plan)}

        return await self.db.read(read)


_LISTED: Final = (
    "id", "run", "agent", "team", "revision", "digest", "answer", "made_at", "carried_at",
)  # fmt: skip


def _listed(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in _LISTED}


def _steps(tx: Reading, plan: str) -> list[dict[str, Any]]:
    rows = plans.list_steps(tx, plan)
    asked = approvals.of_actions(tx, [row["action"] for row in rows if row["action"]])
    return [_step(tx, row, asked.get(row["action"] or "")) for row in rows]


def _step(tx: Reading, row: Row, approval: Row | None) -> dict[str, Any]:
    return {
        "number": row["number"],
        "target": row["target"],
        "idempotency_key": row["idempotency_key"],
        "answer": row["answer"],
        "reasons": reasons_of(row),
        "consequences": orjson.loads(row["consequences"]),
        "arguments": recorded_request(tx, row["request"]),
        "action": row["action"],
        "state": row["state"],
        "approval": None if approval is None else approval["id"],
    }
