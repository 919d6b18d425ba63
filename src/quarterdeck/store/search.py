"""What lists of runs and actions need beside their rows: totals by index, and actions on a target.

Deliberately absent: filters of runs, which are `store/runs.py`'s.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from quarterdeck.store.database import Reading, Row

_COLUMNS: Final = ("agent", "team", "state")
# Only so many of the newest are looked through for those that fit: the next page goes on there.
_ON_TARGET: Final = """
select * from (select * from actions where target = :target and id >= :since and id < :before
  order by id desc limit :looked) newest where 1 = 1{where} order by newest.id desc limit :rows
"""
_BOUND: Final = """
select min(id) as id, count(*) as looked from (select id from actions where target = :target
  and id >= :since and id < :before order by id desc limit :looked) newest
"""


def totals_of(tx: Reading, runs: Sequence[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """For each of these runs: how many actions it has in each state, and what they cost."""
    if not runs:
        return {}
    params = {f"r{number}": run for number, run in enumerate(runs)}
    names = ", ".join(f":{name}" for name in params)
    found: dict[str, dict[str, tuple[int, int]]] = {run: {} for run in runs}
    for row in tx.rows(
        "select run, state, count(*) as actions,"  # noqa: S608  numbered parameters
        " cast(sum(cost_nanousd) as bigint) as cost_nanousd"
        f" from actions where run in ({names}) group by run, state",
        params,
    ):
        found[row["run"]][row["state"]] = (row["actions"], row["cost_nanousd"])
    return found


def list_on_target(
    tx: Reading,
    filters: Mapping[str, str],
    *,
    since: str,
    before: str,
    rows: int,
    looked: int,
) -> tuple[list[Row], str]:
    """Of the newest `looked` actions on a target those that fit, and where the next ones begin.

    The second is the id to go on from; empty where there is nothing further back.
    """
    where = "".join(f" and newest.{name} = :{name}" for name in _COLUMNS if filters.get(name))
    if not where:
        looked = rows  # all of them fit
    params = {**filters, "since": since, "before": before, "rows": rows, "looked": looked}
    found = list(tx.rows(_ON_TARGET.format(where=where), params))
    if len(found) == rows:
        return found, str(found[-1]["id"])
    bound = tx.row(_BOUND, params)
    assert bound is not None, "aggregates always answer"
    return found, str(bound["id"]) if bound["looked"] == looked else ""
