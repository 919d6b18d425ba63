"""Rows of console sessions that were ended before their time."""

from quarterdeck.store.database import Reading, Transaction


def end(tx: Transaction, session_hash: bytes, until: int) -> None:
    """Remember that a session is over, until its cookie would be too; forget those past theirs."""
    tx.execute("delete from ended_sessions where until <= :now", {"now": tx.now})
    tx.execute(
        "insert into ended_sessions (hash, until) values (:hash, :until) on conflict do nothing",
        {"hash": session_hash, "until": until},
    )


def has_ended(tx: Reading, session_hash: bytes) -> bool:
    """Whether somebody signed out of this session, in any process."""
    return (
        tx.row("select 1 as ended from ended_sessions where hash = :hash", {"hash": session_hash})
        is not None
    )
