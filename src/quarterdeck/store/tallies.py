"""Readings of the daily counters."""

from typing import Final

from quarterdeck.store.database import Reading, Row

GROUPS: Final = ("day", "team", "agent", "kind", "target")


def summed(tx: Reading, groups: tuple[str, ...], since: str, until: str) -> list[Row]:
    """Counters from `since` to `until` (dates, both included), summed by the named columns."""
    assert set(groups) <= set(GROUPS), "only columns of the table"
    by = ", ".join(groups)
    select = f"{by}, " if by else ""
    group = f" group by {by} order by {by}" if by else ""
    return list(
        tx.rows(
            f"select {select}sum(actions) as actions, sum(failed) as failed,"  # noqa: S608  checked
            " sum(refused) as refused, sum(cost_nanousd) as cost_nanousd, sum(input) as input,"
            " sum(cache_read) as cache_read, sum(cache_write) as cache_write,"
            " sum(output) as output, sum(reasoning) as reasoning"
            f" from tallies where day >= :since and day <= :until{group}",
            {"since": since, "until": until},
        )
    )
