"""Sealed copies: what must be answered again exactly. One key per run, wrapped by the team's key.

Opened only by `checkpoint/`, `orchestration/` and an approver's recorded reveal; never listed,
exported or logged. The run's key is destroyed when the run has ended with nothing open.
"""

from typing import Final

from quarterdeck.keys import SealingKey
from quarterdeck.store.database import Reading, Transaction

_PUT: Final = """
insert into sealed (id, run, body) values (:id, :run, :body)
on conflict (id) do update set body = excluded.body
"""


def put(tx: Transaction, item: str, run: str, sealed: bytes) -> None:
    """Keep sealed bytes under an id (an action's id and what it is of)."""
    tx.later(_PUT, {"id": item, "run": run, "body": sealed}, key=item)


def find(tx: Reading, item: str) -> bytes | None:
    """The sealed bytes."""
    row = tx.row("select body from sealed where id = :id", {"id": item})
    return None if row is None else bytes(row["body"])


def find_run_key(tx: Reading, run: str, team_key: SealingKey) -> SealingKey | None:
    """The key of a run, unwrapped; `None` once it was destroyed with the run's end."""
    row = tx.row("select sealing_key from runs where id = :run", {"run": run})
    if row is None or row["sealing_key"] is None:
        return None
    return SealingKey(team_key.open(run, bytes(row["sealing_key"])), team_key.dice)
