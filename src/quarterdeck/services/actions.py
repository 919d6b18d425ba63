"""Actions: list those of a run, show one with what it asked and what came back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from quarterdeck.domain import doubts as doubting
from quarterdeck.domain.actions import ActionFilters
from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.limits import EARLIER_PARTS_MAX, page_rows
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.store import (
    actions,
    approvals,
    conversations,
    doubts,
    payloads,
    plans,
    suggestions,
)
from quarterdeck.store.database import Database, Reading, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The use cases of actions."""

    db: Database

    async def list_of_run(
        self, caller: Caller, run: str, *, after: str, rows: int
    ) -> list[dict[str, Any]]:
        """A run's actions in order; `after` is the id the page before ended with."""
        authorise(caller, "read")
        count = page_rows(rows)
        found = await self.db.read(lambda tx: actions.list_of_run(tx, run, after, count))
        return [listed(row) for row in found if caller.sees(row["team"])]

    async def list_page(
        self,
        caller: Caller,
        filters: ActionFilters,
        *,
        before: tuple[str, str] | None = None,
        rows: int = 0,
    ) -> list[dict[str, Any]]:
        """Actions, of the newest run first; `before`: the run and id the page before ended with."""
        authorise(caller, "read")
        if caller.team is not None:
            if filters.team not in ("", caller.team):
                return []
            filters = replace(filters, team=caller.team)
        count = page_rows(rows)
        found = await self.db.read(lambda tx: actions.list_page(tx, filters, before, count))
        return [listed(row) for row in found]

    async def show(self, caller: Caller, action: str, *, whole: bool = True) -> dict[str, Any]:
        """One action with its redacted request and answer.

        A conversation may have been sent thousands of times, each time longer: unless `whole`, only
        its last parts are read, and `earlier` counts the others.
        """
        authorise(caller, "read")
        return await self.db.read(lambda tx: _shown(tx, caller, action, whole=whole))


def _shown(tx: Reading, caller: Caller, action: str, *, whole: bool) -> dict[str, Any]:
    row = actions.find(tx, action)
    if row is None or not caller.sees(row["team"]):
        raise NotFound(f"no action `{action}`", hint="see `quarterdeck actions list RUN`")
    shown = listed(row) | links_of(tx, [action])[action]
    shown["request"] = _request(tx, row["request"], whole=whole)
    response = row["response"]
    shown["response"] = None if response is None else _read(payloads.get(tx, response))
    shown["doubt"] = doubt_of(tx, shown)
    return shown


def doubt_of(tx: Reading, shown: Mapping[str, Any]) -> dict[str, Any] | None:
    """What people should know of an action whose outcome nobody knows, and do about it."""
    is_over = doubting.is_unknown(shown["detail"])
    if shown["state"] != "in_doubt" and not is_over:
        return None
    row = doubts.find(tx, shown["id"])
    tries = 0 if row is None else row["tries"]
    return {
        "tries": tries,
        "next_at": row["next_at"] if row is not None and tries and not is_over else None,
        "ended_at": None if row is None else row["ended_at"],
        "words": doubting.words(tries=tries, is_over=is_over),
    }


def _request(tx: Reading, request: str, *, whole: bool) -> dict[str, Any]:
    if whole:
        parts, rest = payloads.get_sequence(tx, request)
        return {"earlier": 0, "parts": [_read(p) for p in parts], "rest": _read(rest)}
    link = conversations.find_link(tx, request)
    start = max(0, link.total - EARLIER_PARTS_MAX)
    found = conversations.hashes(tx, link, start, link.total)
    return {
        "earlier": link.total - len(found),
        "parts": [_read(conversations.body(tx, part)) for part in found],
        "rest": _read(b"" if link.rest is None else payloads.get(tx, link.rest)),
    }


def links_of(tx: Reading, ids: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """For each action: the approval it waits for or used, the suggestion it is or carries out, and
    the plan it is a step of."""
    asked, made = approvals.of_actions(tx, ids), suggestions.of_actions(tx, ids)
    planned = plans.of_actions(tx, ids)
    return {
        action: {
            "approval": asked[action]["id"] if action in asked else None,
            "suggestion": made[action]["action"] if action in made else None,
            "plan": planned.get(action),
        }
        for action in ids
    }


def recorded_request(tx: Reading, request: str) -> Any:
    """What an action was asked for with, beside messages: a tool's arguments, redacted."""
    link = conversations.find_link(tx, request)
    return _read(b"" if link.rest is None else payloads.get(tx, link.rest))


def reasons_of(row: Row) -> list[dict[str, str]]:
    """The rules that decided, each with its sentence."""
    return [{"rule": rule, "because": because} for rule, because in orjson.loads(row["reasons"])]


def _read(body: bytes) -> Any:
    """JSON as it is; anything else as text."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def listed(row: Row) -> dict[str, Any]:
    """An action's slim row for people and programs."""
    kept = (
        "id", "run", "agent", "team", "revision", "kind", "target", "mark", "state", "answer",
        "digest", "idempotency_key", "proposed_at", "settled_at", "cost_nanousd", "usage_source",
        "price_version",
    )  # fmt: skip
    shown = {name: row[name] for name in kept}
    shown["reasons"] = reasons_of(row)
    shown["labels"] = row["labels"].split()
    shown["usage"] = None if row["usage"] is None else orjson.loads(row["usage"])
    shown["detail"] = {} if row["detail"] is None else orjson.loads(row["detail"])
    held = sum(a for _, unit, a in orjson.loads(row["holds"])[:1] if unit == "nanousd")
    shown["held_nanousd"] = held if actions.is_open(row) else 0
    return shown
