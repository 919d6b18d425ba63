"""The fleet at a glance: counts by agent, and what waits for a person."""

from collections.abc import Mapping, Sequence
from typing import Final

from quarterdeck.store.database import Reading, Row


def count_running(tx: Reading) -> dict[str, int]:
    """How many runs of each agent go on."""
    return {
        row["agent"]: row["runs"]
        for row in tx.rows(
            "select agent, count(*) as runs from runs where state = 'running' group by agent"
        )
    }


def count_since(tx: Reading, agent: str, since: int) -> dict[str, int]:
    """How many runs of an agent started since a time (microseconds), by state."""
    return {
        row["state"]: row["runs"]
        for row in tx.rows(
            "select state, count(*) as runs from runs where agent = :agent and started_at >= :since"
            " group by state",
            {"agent": agent, "since": since},
        )
    }


def find_latest(tx: Reading, agent: str) -> Row | None:
    """The newest run of an agent."""
    return tx.row(
        "select id, state, started_at from runs where agent = :agent order by id desc limit 1",
        {"agent": agent},
    )


def list_freezes(tx: Reading) -> list[Row]:
    """What is frozen, and why."""
    return list(tx.rows("select scope, reason, at from freezes order by at"))


def list_handoffs(tx: Reading, team: str, rows: int) -> list[Row]:
    """Cases that wait for a person, newest first; of one team, if one is named."""
    return list(
        tx.rows(
            "select h.run, h.agent, h.at, h.body from handoffs h join runs r on r.id = h.run"
            " where h.closed_at is null and (:team = '' or r.team = :team)"
            " order by h.at desc limit :rows",
            {"team": team, "rows": rows},
        )
    )


def count_handoffs(tx: Reading, team: str) -> int:
    """How many cases wait for a person."""
    if team:
        return _counted(
            tx,
            "select count(*) as found from handoffs h join runs r on r.id = h.run"
            " where h.closed_at is null and r.team = :team",
            {"team": team},
        )
    return _counted(tx, "select count(*) as found from handoffs where closed_at is null", {})


# The last two conditions are the partial index's own, written so that the planner sees it serves.
_NOTABLE: Final = (
    " from actions where state = :state and (:team = '' or team = :team)"
    " and state <> 'done' and state <> 'begun'"
)


def count_notable(tx: Reading, state: str, team: str) -> int:
    """How many actions stand in a state that few do."""
    if team:
        return _counted(
            tx,
            f"select count(*) as found{_NOTABLE}",
            {"state": state, "team": team},
        )
    return _counted(
        tx,
        "select count(*) as found from actions where state = :state"
        " and state <> 'done' and state <> 'begun'",
        {"state": state},
    )


def list_notable(tx: Reading, state: str, team: str, rows: int) -> list[Row]:
    """Actions that stand in a state that few do, of the newest runs first."""
    return list(
        tx.rows(
            f"select id, run, agent, target, proposed_at{_NOTABLE} order by run desc limit :rows",
            {"state": state, "team": team, "rows": rows},
        )
    )


def _counted(tx: Reading, sql: str, params: Mapping[str, str]) -> int:
    row = tx.row(sql, params)
    assert row is not None, "counting always answers"
    return int(row["found"])


def list_budgets(tx: Reading, budgets: Sequence[str]) -> dict[str, Row]:
    """Budget windows by id; those that were never opened are absent."""
    if not budgets:
        return {}
    params = {f"b{number}": budget for number, budget in enumerate(budgets)}
    names = ", ".join(f":{name}" for name in params)
    sql = f"select * from budgets where id in ({names})"  # noqa: S608  numbered parameters
    return {row["id"]: row for row in tx.rows(sql, params)}


def list_revisions(tx: Reading, agent: str, rows: int) -> list[Row]:
    """The revisions an agent has had, newest first, each with who applied it."""
    return list(
        tx.rows(
            "select v.hash, v.fleet_version, v.applied_at, f.applied_by from revisions v"
            " left join fleets f on f.version = v.fleet_version where v.agent = :agent"
            " order by v.applied_at desc limit :rows",
            {"agent": agent, "rows": rows},
        )
    )


def tallies_of_agents(tx: Reading, since: str) -> list[Row]:
    """What each agent did and was charged, by day, from a day on."""
    return list(
        tx.rows(
            "select day, agent, cast(sum(cost_nanousd) as bigint) as cost_nanousd,"
            " cast(sum(actions) as bigint) as actions, cast(sum(refused) as bigint) as refused,"
            " cast(sum(failed) as bigint) as failed"
            " from tallies where day >= :since group by day, agent",
            {"since": since},
        )
    )
