"""Rows of doubts: how often an action in doubt was tried again, when next, and how that ended."""

from typing import Final

from quarterdeck.domain.doubts import pause_seconds
from quarterdeck.store import actions
from quarterdeck.store.database import Reading, Row, Transaction

_STATE: Final = "select state from actions where id = :id"
_FIND: Final = "select * from doubts where action = :action"
_DUE: Final = """
select a.*, coalesce(d.tries, 0) as tries from actions a left join doubts d on d.action = a.id
where a.state = 'in_doubt' and coalesce(d.next_at, 0) <= :now order by a.proposed_at limit :rows
"""
_CLAIM: Final = """
insert into doubts (action, tries, next_at) values (:action, :tries, :next_at)
on conflict (action) do update set tries = excluded.tries, next_at = excluded.next_at
"""
_END: Final = """
insert into doubts (action, tries, next_at, ended_at) values (:action, 0, :at, :at)
on conflict (action) do update set ended_at = excluded.ended_at
"""


def find(tx: Reading, action: str) -> Row | None:
    """What is known of the tries of an action."""
    return tx.row(_FIND, {"action": action})


def list_due(tx: Reading, *, now: int, rows: int) -> list[Row]:
    """Actions in doubt that may be concluded now, oldest first, each with its `tries`."""
    return list(tx.rows(_DUE, {"now": now, "rows": rows}))


def claim(tx: Transaction, action: str, process: str, *, tries_max: int) -> bool:
    """Take an action in doubt over for one more try; of many processes one wins.

    The action is locked before its tries are read: whoever comes second sees those of the first,
    also where the first is over by then.
    """
    locked = tx.locked_row(_STATE, {"id": action})
    if locked is None or locked["state"] != "in_doubt":
        return False
    row = find(tx, action)
    tries = 0 if row is None else row["tries"]
    if row is not None and (row["next_at"] > tx.now or tries >= tries_max):
        return False
    next_at = tx.now + pause_seconds(tries + 1) * 1_000_000
    tx.execute(_CLAIM, {"action": action, "tries": tries + 1, "next_at": next_at})
    return actions.reclaim(tx, action, process)


def is_claimed(tx: Transaction, action: str) -> bool:
    """Whether anybody has taken the action over from the process it was cleared in.

    It is locked first, as in `claim`: nobody takes it over between this look and the commit.
    """
    tx.locked_row(_STATE, {"id": action})
    row = find(tx, action)
    return row is not None and row["tries"] > 0


def end(tx: Transaction, action: str) -> None:
    """Say that nobody tries to find out any more."""
    tx.execute(_END, {"action": action, "at": tx.now})


def list_ended(tx: Reading, since: int) -> list[str]:
    """The actions that ended since then with an outcome that nobody knows, newest first."""
    rows = tx.rows(
        "select action from doubts where ended_at > :since order by ended_at desc limit 1000",
        {"since": since},
    )
    return [row["action"] for row in rows]
