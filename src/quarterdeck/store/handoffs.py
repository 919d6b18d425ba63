"""Rows of cases handed to a person, with their context."""

from typing import Any

import orjson

from quarterdeck.store.database import Reading, Row, Transaction


def open_for_run(tx: Transaction, run: str, because: str, context: dict[str, Any] | None) -> None:
    """Hand the case of a run to a person; once per run."""
    row = tx.row("select agent from runs where id = :run", {"run": run})
    assert row is not None
    tx.execute(
        "insert into handoffs (run, agent, at, body)"
        " values (:run, :agent, :at, :body) on conflict (run) do nothing",
        {
            "run": run,
            "agent": row["agent"],
            "at": tx.now,
            "body": orjson.dumps({"because": because, "context": context}).decode(),
        },
    )


def list_open(tx: Reading, rows: int) -> list[Row]:
    """Cases that wait for a person, oldest first."""
    return list(
        tx.rows(
            "select * from handoffs where closed_at is null order by at limit :rows", {"rows": rows}
        )
    )
