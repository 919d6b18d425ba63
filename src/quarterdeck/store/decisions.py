"""Rows that people decide about: what approvals and suggestions are both asked."""

from collections.abc import Mapping, Sequence

from quarterdeck.store.database import Reading, Row


def count_waiting(
    tx: Reading, table: str, state: str, params: Mapping[str, str], apart: str = ""
) -> int:
    """How many wait for somebody to decide, of those that this incarnation kept.

    `params` holds the `team`, empty for all, and what the condition `apart` is said with.
    """
    row = tx.row(
        f"select count(*) as found from {table} c join standing s on s.id = 1"  # noqa: S608  fixed names
        " and s.incarnation = c.incarnation"
        f" where c.state = '{state}' and (:team = '' or c.team = :team){apart}",
        params,
    )
    assert row is not None, "counting always answers"
    return int(row["found"])


def of_actions(tx: Reading, table: str, used_by: str, actions: Sequence[str]) -> dict[str, Row]:
    """The row that each of these actions is the reason of, or was made with, where there is one.

    `used_by` is the column of the action it was made with.
    """
    if not actions:
        return {}
    params = {f"a{number}": action for number, action in enumerate(actions)}
    names = ", ".join(f":{name}" for name in params)
    rows = tx.rows(
        f"select * from {table} where action in ("  # noqa: S608  fixed names, numbered parameters
        f"{names}) union select * from {table} where {used_by} in ({names})",
        params,
    )
    found = {row["action"]: row for row in rows}
    return found | {row[used_by]: row for row in rows if row[used_by]}
