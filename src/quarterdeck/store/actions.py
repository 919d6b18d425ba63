"""Rows of the action journal: slim, one per action; bodies live in payloads."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from quarterdeck.domain import labels as labelling
from quarterdeck.domain.actions import (
    Action,
    ActionFilters,
    Admission,
    Cleared,
    Receipt,
    Refused,
    Suggested,
)
from quarterdeck.domain.budgets import Hold, Reservation
from quarterdeck.domain.ids import ActionId, RunId
from quarterdeck.domain.limits import RUN_SECONDS_MAX
from quarterdeck.domain.verdicts import Verdict
from quarterdeck.sources import earliest_id, latest_id
from quarterdeck.store.database import Need, Reading, Row, Transaction

_INSERT: Final = """
insert into actions (id, run, agent, team, revision, kind, target, mark, state, answer, reasons,
  labels, digest, idempotency_key, process, incarnation, proposed_at, not_after, holds,
  price_version, cost_nanousd, request)
values (:id, :run, :agent, :team, :revision, :kind, :target, :mark, :state, :answer, :reasons,
  :labels, :digest, :idempotency_key, :process, :incarnation, :proposed_at, :not_after, :holds,
  :price_version, 0, :request)
"""
_STATE: Final = "select state from actions where id = :id"
_FINISH: Final = """
update actions set state = :state, settled_at = :settled_at, cost_nanousd = :cost_nanousd,
  usage = :usage, usage_source = :usage_source, detail = :detail, response = :response
where id = :id
"""
_TALLY: Final = """
insert into tallies (day, team, agent, kind, target, actions, failed, refused, cost_nanousd,
  input, cache_read, cache_write, output, reasoning)
values (:day, :team, :agent, :kind, :target, :actions, :failed, :refused, :cost_nanousd,
  :input, :cache_read, :cache_write, :output, :reasoning)
on conflict (day, team, agent, kind, target) do update set
  actions = tallies.actions + excluded.actions, failed = tallies.failed + excluded.failed,
  refused = tallies.refused + excluded.refused,
  cost_nanousd = tallies.cost_nanousd + excluded.cost_nanousd,
  input = tallies.input + excluded.input, cache_read = tallies.cache_read + excluded.cache_read,
  cache_write = tallies.cache_write + excluded.cache_write,
  output = tallies.output + excluded.output, reasoning = tallies.reasoning + excluded.reasoning
"""
_OPEN: Final = ("begun", "in_doubt")
_TALLIED: Final = (
    *("day", "team", "agent", "kind", "target", "actions", "failed", "refused"),
    *("cost_nanousd", "input", "cache_read", "cache_write", "output", "reasoning"),
)
_NO_COUNTS: Final = (0,) * (len(_TALLIED) - 5)
# Written as in the predicates of the partial indexes, so that either database sees that they serve.
_IN_STATE: Final = {
    "begun": "a.state = 'begun'",
    "done": "a.state = 'done'",
    **{
        state: f"a.state = '{state}' and a.state <> 'done' and a.state <> 'begun'"
        for state in ("failed", "not_attempted", "refused", "held", "suggested", "in_doubt")
    },
}
# Few have begun anywhere, and there may be thousands in one run: so those few are looked through.
BEGUN_IN_RUN: Final = " from actions where state = 'begun' and process > '' and run || '' = :run"

# What the leaf of an admission, and of a settlement, commits to: columns of the action's row.
ADMITTED: Final = (
    "id",
    "run",
    "agent",
    "team",
    "revision",
    "kind",
    "target",
    "mark",
    "answer",
    "reasons",
    "labels",
    "digest",
    "idempotency_key",
    "incarnation",
    "proposed_at",
    "holds",
    "price_version",
    "request",
)
SETTLED: Final = (
    "id",
    "state",
    "settled_at",
    "cost_nanousd",
    "usage",
    "usage_source",
    "detail",
    "response",
)


@lru_cache(maxsize=4096)
def reasons_json(verdict: Verdict) -> str:
    """The rules of a verdict, as stored."""
    return orjson.dumps([[r.rule, r.because] for r in verdict.reasons]).decode()


def _state(admission: Admission) -> str:
    if isinstance(admission, Cleared):
        return "begun"
    if isinstance(admission, Refused):
        return "refused"
    return "suggested" if isinstance(admission, Suggested) else "held"


def insert(
    tx: Transaction,
    action: Action,
    admission: Admission,
    verdict: Verdict,
    *,
    process: str,
    incarnation: str,
    request: str | None,
) -> dict[str, Any]:
    """Record what was asked and what the checkpoint answered; returns what its leaf commits to."""
    cleared = admission if isinstance(admission, Cleared) else None
    holds = () if cleared is None else cleared.reservation.holds
    price = None if cleared is None else cleared.price
    row = {
        "id": action.id,
        "run": action.run,
        "agent": action.agent,
        "team": action.team,
        "revision": action.revision,
        "kind": action.kind,
        "target": action.target,
        "mark": action.mark,
        "state": _state(admission),
        "answer": verdict.answer,
        "reasons": reasons_json(verdict),
        "labels": labelling.written(action.labels),
        "digest": action.digest,
        "idempotency_key": action.idempotency_key,
        "process": process,
        "incarnation": incarnation,
        "proposed_at": action.proposed_at,
        "not_after": None if cleared is None else cleared.not_after,
        "holds": orjson.dumps([[h.budget, h.unit, h.amount] for h in holds]).decode(),
        "price_version": None if price is None else price.version,
        "request": request,
    }
    tx.later(_INSERT, row, key=action.id, about=(action.id, action.run))
    return {name: row[name] for name in ADMITTED}


def need(action: ActionId) -> Need:
    """The state of an action, for a write that settles it."""
    return Need(_STATE, "id", action, locked=True)


def finish(
    tx: Transaction, action: Action, receipt: Receipt, *, cost_nanousd: int, response: str | None
) -> dict[str, Any] | None:
    """Settle an open action; returns what its leaf commits to, `None` if it was settled before."""
    before = tx.locked_row(_STATE, {"id": action.id}, about=action.id)
    if before is None or before["state"] not in _OPEN:
        return None
    usage = None if receipt.usage is None else orjson.dumps(receipt.usage.as_json()).decode()
    row = {
        "id": action.id,
        "state": receipt.status,
        "settled_at": tx.now,
        "cost_nanousd": cost_nanousd,
        "usage": usage,
        "usage_source": receipt.usage_source,
        "detail": orjson.dumps(receipt.detail).decode() if receipt.detail else None,
        "response": response,
    }
    tx.later(_FINISH, row, key=action.id, about=(action.id, action.run))
    return {name: row[name] for name in SETTLED}


def tally(
    tx: Transaction, action: Action, day: str, counted: Mapping[str, int], *, target: str = ""
) -> None:
    """Count into the day of an action; `counted` names the columns that are not zero.

    `target` is where something was charged that was to go elsewhere.
    """
    key = (day, action.team, action.agent, action.kind, target or action.target)
    queued = tx.queued(_TALLY, key)
    row: dict[str, Any] = (
        dict(zip(_TALLIED, (*key, *_NO_COUNTS), strict=True)) if queued is None else {**queued}
    )
    for column, count in counted.items():
        row[column] += count
    tx.later(_TALLY, row, key=key)


def find(tx: Reading, action: str) -> Row | None:
    """A whole action row."""
    return tx.row("select * from actions where id = :id", {"id": action})


def find_by_key(tx: Transaction, run: RunId, idempotency_key: str) -> Row | None:
    """The action a run asked for before under this key, unless it was refused or held."""
    return tx.row(
        "select * from actions where run = :run and idempotency_key = :key"
        " and state not in ('refused', 'held', 'not_attempted')",
        {"run": run, "key": idempotency_key},
        about=run,
    )


def find_repeat(tx: Transaction, action: Action, since: int) -> Row | None:
    """The same call of the same run, made a moment ago and not refused."""
    return tx.row(
        "select * from actions where run = :run and digest = :digest and kind = 'tool'"
        " and target = :target and proposed_at > :since"
        " and state in ('begun', 'done', 'failed', 'in_doubt') order by id desc limit 1",
        {"run": action.run, "digest": action.digest, "target": action.target, "since": since},
        about=action.run,
    )


def list_of_run(tx: Reading, run: str, after: str, rows: int) -> list[Row]:
    """A run's actions in order, after an action id."""
    return list(
        tx.rows(
            "select * from actions where run = :run and id > :after order by id limit :rows",
            {"run": run, "after": after, "rows": rows},
        )
    )


def list_page(
    tx: Reading, filters: ActionFilters, before: tuple[str, str] | None, rows: int
) -> list[Row]:
    """Actions that fit: of the newest run first, its newest first; after the (run, id) `before`.

    In this order every filter is served by an index that is there anyway: those of an agent and of
    a team by that of the runs, thirty times smaller.
    """
    source = "actions a"
    found: list[str] = []
    params: dict[str, Any] = {"rows": rows}
    if (filters.agent or filters.team) and not filters.run:
        source = "runs r cross join actions a"
        found.append("a.run = r.id")
    owner = "a" if source == "actions a" else "r"
    run = "a.run" if owner == "a" else "r.id"
    for column, operator, value in (
        (run, "=", filters.run),
        (f"{owner}.agent", "=", filters.agent),
        (f"{owner}.team", "=", filters.team),
        ("a.kind", "=", filters.kind),
        (run, "<=", before and before[0]),
        (run, ">=", filters.since and earliest_id(filters.since - RUN_SECONDS_MAX * 1_000_000)),
        ("a.proposed_at", ">=", filters.since),
        (run, "<=", filters.until and latest_id(filters.until)),
        ("a.proposed_at", "<", filters.until),
    ):
        if value:
            found.append(f"{column} {operator} :p{len(params)}")
            params[f"p{len(params)}"] = value
    if before:
        found.append(f"({run} < :run or a.id < :id)")
        params |= {"run": before[0], "id": before[1]}
    if filters.state:
        found.append(_IN_STATE[filters.state])
    where = f" where {' and '.join(found)}" if found else ""
    order = f"{run} desc, a.id desc"
    sql = f"select a.* from {source}{where} order by {order} limit :rows"  # noqa: S608  fixed names
    return list(tx.rows(sql, params))


def list_orphaned(tx: Reading, *, me: str, now: int, silent_since: int, rows: int) -> list[Row]:
    """Begun actions nobody will settle: their process is gone, or their own receipt never came.

    Whoever asks is alive, however late its lease was renewed: `me` is never gone.
    """
    return list(
        tx.rows(
            "select a.* from actions a left join processes p on p.id = a.process"
            " where a.state = 'begun'"
            " and ((coalesce(p.lease_until, 0) <= :now and a.process <> :me)"
            " or (a.mark = 'cooperative' and a.proposed_at <= :silent_since))"
            # In the order of the partial index: by id alone, SQLite would walk every action.
            " order by a.process, a.id limit :rows",
            {"me": me, "now": now, "silent_since": silent_since, "rows": rows},
        )
    )


def doubt(tx: Transaction, action: str, process: str = "") -> bool:
    """Mark a begun action as in doubt; its money stays held.

    `process`: only if it is still that one's; who took it over meanwhile says so itself.
    """
    return (
        tx.execute(
            "update actions set state = 'in_doubt' where id = :id and state = 'begun'"
            " and (:process = '' or process = :process)",
            {"id": action, "process": process},
        )
        == 1
    )


def reclaim(tx: Transaction, action: str, process: str) -> bool:
    """Take over an action in doubt to try it again; by compare-and-set, one process wins."""
    return (
        tx.execute(
            "update actions set state = 'begun', process = :process"
            " where id = :id and state = 'in_doubt'",
            {"id": action, "process": process},
        )
        == 1
    )


def reservation_of(row: Row) -> Reservation:
    """The holds an action row carries."""
    holds: Sequence[Any] = orjson.loads(row["holds"])
    return Reservation(
        holds=tuple(Hold(budget=b, unit=u, amount=a) for b, u, a in holds), owner=row["process"]
    )


def is_open(row: Row) -> bool:
    """Whether the action still waits for its settlement."""
    return row["state"] in _OPEN
