"""Readings of the daily counters."""

from typing import Final

from quarterdeck.store.database import Reading, Row

GROUPS: Final = ("day", "team", "agent", "kind", "target")
_COUNTED: Final = (
    "actions", "failed", "refused", "cost_nanousd", "input", "cache_read", "cache_write", "output",
    "reasoning",
)  # fmt: skip
# PostgreSQL sums integers into decimals; money stays an integer.
_SUMS: Final = ", ".join(f"cast(sum({name}) as bigint) as {name}" for name in _COUNTED)


def summed(
    tx: Reading, groups: tuple[str, ...], since: str, until: str, *, team: str = ""
) -> list[Row]:
    """Counters from `since` to `until` (dates, both included), summed by the named columns."""
    assert set(groups) <= set(GROUPS), "only columns of the table"
    by = ", ".join(groups)
    select = f"{by}, " if by else ""
    group = f" group by {by} order by {by}" if by else ""
    only = " and team = :team" if team else ""
    return list(
        tx.rows(
            f"select {select}{_SUMS}"  # noqa: S608  columns of the table, checked above
            f" from tallies where day >= :since and day <= :until{only}{group}",
            {"since": since, "until": until, "team": team},
        )
    )
