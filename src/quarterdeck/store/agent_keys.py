"""Rows of long-lived agent keys: only a hash is stored."""

from quarterdeck.store.database import Reading, Row, Transaction


def insert(tx: Transaction, row: dict[str, object]) -> None:
    """Keep a new key's hash."""
    tx.execute(
        "insert into agent_keys (id, agent, hash, hint, issued_at, expires_at)"
        " values (:id, :agent, :hash, :hint, :issued_at, :expires_at)",
        row,
    )


def list_all(tx: Reading, agent: str | None) -> list[Row]:
    """Keys, newest first; of one agent or of all."""
    where = "" if agent is None else " where agent = :agent"
    return list(
        tx.rows(
            "select id, agent, hint, issued_at, expires_at, revoked_at, rotated_to"  # noqa: S608  fixed
            f" from agent_keys{where} order by id desc",
            {} if agent is None else {"agent": agent},
        )
    )


def find(tx: Reading, key: str) -> Row | None:
    """One key's row."""
    return tx.row("select * from agent_keys where id = :id", {"id": key})


def find_live(tx: Reading, digest: bytes, now: int) -> Row | None:
    """The key with this hash, if it is neither revoked nor expired."""
    return tx.row(
        "select * from agent_keys where hash = :hash and revoked_at is null"
        " and (expires_at is null or expires_at > :now)",
        {"hash": digest, "now": now},
    )


def revoke(tx: Transaction, key: str) -> bool:
    """End a key now."""
    return (
        tx.execute(
            "update agent_keys set revoked_at = :now where id = :id and revoked_at is null",
            {"id": key, "now": tx.now},
        )
        == 1
    )


def expire(tx: Transaction, key: str, *, at: int, rotated_to: str) -> None:
    """Let a key live on for a while beside the one that replaces it."""
    tx.execute(
        "update agent_keys set expires_at = :at, rotated_to = :to where id = :id",
        {"id": key, "at": at, "to": rotated_to},
    )
