"""Sealed copies: what must be answered again exactly. One key per run, wrapped by the team's key.

Opened only by `checkpoint/`, `orchestration/` and an approver's recorded reveal; never listed, never
exported, never logged. The run's key is destroyed when the run has ended with nothing open.
"""

from quarterdeck.domain.errors import Corrupt
from quarterdeck.keys import SealingKey
from quarterdeck.store.database import Reading, Transaction


def put(tx: Transaction, item: str, run: str, sealed: bytes) -> None:
    """Keep sealed bytes under an id (an action's id and what it is of)."""
    tx.execute(
        "insert into sealed (id, run, body) values (:id, :run, :body)"
        " on conflict (id) do update set body = excluded.body",
        {"id": item, "run": run, "body": sealed},
    )


def find(tx: Reading, item: str) -> bytes | None:
    """The sealed bytes."""
    row = tx.row("select body from sealed where id = :id", {"id": item})
    return None if row is None else bytes(row["body"])


def run_key(tx: Reading, run: str, team_key: SealingKey) -> SealingKey:
    """The key of a run, unwrapped."""
    row = tx.row("select sealing_key from runs where id = :run", {"run": run})
    if row is None or row["sealing_key"] is None:
        raise Corrupt(
            f"the sealed copies of run `{run}` are gone", hint="its key went when the run ended"
        )
    return SealingKey(team_key.open(run, bytes(row["sealing_key"])), team_key.dice)
