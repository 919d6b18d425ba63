"""One run's actions by their place in it, whatever their number, without reading those between."""

from collections.abc import Sequence
from typing import Final

from quarterdeck.store.actions import BEGUN_IN_RUN
from quarterdeck.store.database import Reading, Row

_WINDOW: Final = """
select a.*
from (select id from actions where run = :run order by id limit :rows offset :offset) page
join actions a on a.id = page.id order by a.id
"""
_WINDOW_OF_STATES: Final = """
select a.* from (select id from actions where run = :run and state in ({states})
  order by id limit :rows offset :offset) page
join actions a on a.id = page.id order by a.id
"""
# Sorting ids found by state is quicker than walking the whole run for the few that match.
_WINDOW_OF_FEW: Final = """
select a.* from (select id from actions where run = :run and state in ({states})
  and state <> 'done' and state <> 'begun' order by id || '' limit :rows offset :offset) page
join actions a on a.id = page.id order by a.id
"""
_MANY: Final = frozenset(("done", "begun"))
_OPENS_WITH_MODEL: Final = """
select 1 as found from (select id, kind from actions where run = :run order by id limit 50) f
where f.kind = 'model' limit 1
"""


def window(
    tx: Reading, run: str, *, offset: int, rows: int, states: Sequence[str] = ()
) -> list[Row]:
    """`rows` actions of a run from a place on; of these states only, if any are named."""
    params: dict[str, object] = {"run": run, "offset": offset, "rows": rows}
    if not states:
        return list(tx.rows(_WINDOW, params))
    named = {f"s{number}": state for number, state in enumerate(states)}
    listed = ", ".join(f":{name}" for name in named)
    sql = _WINDOW_OF_FEW if _MANY.isdisjoint(states) else _WINDOW_OF_STATES
    return list(tx.rows(sql.format(states=listed), {**params, **named}))


def place_of(tx: Reading, run: str, action: str) -> int:
    """How many actions of the run came before this one."""
    row = tx.row(
        "select count(*) as before from actions where run = :run and id < :action",
        {"run": run, "action": action},
    )
    assert row is not None, "counting always answers"
    return int(row["before"])


def neighbours(tx: Reading, run: str, action: str) -> tuple[str, str]:
    """The actions before and after this one in its run; empty where there is none."""
    before = tx.row(
        "select max(id) as id from actions where run = :run and id < :action",
        {"run": run, "action": action},
    )
    after = tx.row(
        "select min(id) as id from actions where run = :run and id > :action",
        {"run": run, "action": action},
    )
    assert before is not None, "aggregates always answer"
    assert after is not None, "aggregates always answer"
    return before["id"] or "", after["id"] or ""


def is_led_by_a_model(tx: Reading, run: str) -> bool:
    """Whether a model call is among the run's first actions: then what follows one is under it."""
    return tx.row(_OPENS_WITH_MODEL, {"run": run}) is not None


def stamp(tx: Reading, run: str) -> tuple[object, ...]:
    """What differs as soon as anything of the run does: a few steps into indexes."""
    newest = tx.row("select max(id) as id from actions where run = :run", {"run": run})
    open_ones = tx.row(
        f"select (select count(*){BEGUN_IN_RUN}) as begun,"  # noqa: S608  fixed words
        " (select count(*) from actions where run = :run and state = 'in_doubt'"
        " and state <> 'done' and state <> 'begun') as in_doubt",
        {"run": run},
    )
    row = tx.row("select state, labels from runs where id = :run", {"run": run})
    assert newest is not None, "aggregates always answer"
    assert open_ones is not None, "aggregates always answer"
    return (
        newest["id"],
        (open_ones["begun"], open_ones["in_doubt"]),
        None if row is None else (row["state"], row["labels"]),
    )


def stamp_of_all(tx: Reading) -> tuple[object, ...]:
    """What differs as soon as anything at all was recorded."""
    found = tx.row(
        "select (select max(id) from runs) as run, (select max(id) from actions) as action,"
        " (select max(size) from heads) as head, (select epoch from standing where id = 1) as epoch"
    )
    assert found is not None, "a row of scalars always answers"
    return (found["run"], found["action"], found["head"], found["epoch"])
