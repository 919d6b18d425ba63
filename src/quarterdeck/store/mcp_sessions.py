"""Rows of MCP sessions that changed since their handshake, and answers on their way to a process.

Only hashes of ids, and sealed bytes: what is said in a session is no part of the record.
"""

from quarterdeck.store.database import Reading, Transaction


def find(tx: Reading, session: bytes) -> bytes | None:
    """The sealed state of a session, if anything changed since its handshake."""
    row = tx.row("select state from mcp_sessions where hash = :hash", {"hash": session})
    return None if row is None else bytes(row["state"])


def put(tx: Transaction, session: bytes, state: bytes, until: int) -> None:
    """Set the sealed state of a session; forget those whose ids are over by themselves."""
    tx.execute("delete from mcp_sessions where until <= :now", {"now": tx.now})
    tx.execute(
        "insert into mcp_sessions (hash, until, state) values (:hash, :until, :state)"
        " on conflict (hash) do update set state = excluded.state",
        {"hash": session, "until": until, "state": state},
    )


def put_answer(tx: Transaction, request: bytes, body: bytes, until: int) -> None:
    """Leave an answer for the process that asked; the first one counts."""
    tx.execute("delete from mcp_answers where until <= :now", {"now": tx.now})
    tx.execute(
        "insert into mcp_answers (hash, until, body) values (:hash, :until, :body)"
        " on conflict (hash) do nothing",
        {"hash": request, "until": until, "body": body},
    )


def find_answer(tx: Reading, request: bytes) -> bytes | None:
    """The sealed answer to a request, once it is there."""
    row = tx.row("select body from mcp_answers where hash = :hash", {"hash": request})
    return None if row is None else bytes(row["body"])
