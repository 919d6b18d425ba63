"""Search: runs with their totals, actions on a target, and what somebody typed stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import TARGET_ACTIONS_LOOKED_MAX, page_rows
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.domain.runs import RunFilters
from quarterdeck.services.actions import listed
from quarterdeck.services.runs import Runs
from quarterdeck.sources import Clock, earliest_id
from quarterdeck.store import actions, runs, search
from quarterdeck.store.database import Database, Reading

#: States an action can be in that make people look.
NOTABLE: Final = ("in_doubt", "held", "refused", "failed", "suggested")
RUN_STATES: Final = ("running", "succeeded", "failed", "escalated", "cancelled")
PERIODS: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_NEWEST: Final = "zzzz"  # sorts after every id, in the collation of any database
_OPEN: Final = ("begun", "in_doubt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was typed stands for: one run, one action, or some runs."""

    run: str = ""
    action: str = ""
    runs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The use cases of search."""

    db: Database
    clock: Clock
    runs: Runs

    async def list_runs(
        self, caller: Caller, filters: Mapping[str, str], *, before: str = "", rows: int = 0
    ) -> list[dict[str, Any]]:
        """Runs, newest first, each with its totals; `before` is the id the page before ended on.

        Filters: `agent`, `team`, `state`, `correlation`, `text`, `with` (a state one of its actions
        is in), `period` (1h, 24h, 7d, 30d), `day` or `since` (UTC dates).
        """
        _check(filters)
        since, until = self._period(filters)
        chosen = RunFilters(
            agent=filters.get("agent", ""),
            team=filters.get("team", ""),
            state=filters.get("state", ""),
            correlation=filters.get("correlation", ""),
            text=filters.get("text", ""),
            having=filters.get("with", ""),
            since=since,
            until=until,
        )
        found = await self.runs.list_page(caller, chosen, before=before, rows=rows)
        return await self.db.read(lambda tx: with_totals(tx, found))

    async def list_on_target(
        self, caller: Caller, filters: Mapping[str, str], *, before: str = "", rows: int = 0
    ) -> tuple[list[dict[str, Any]], str]:
        """Actions on one `target`, newest first, and the id to go on from.

        Filters: `agent`, `state`, `day` or `since` (UTC dates).
        """
        authorise(caller, "read")
        if not filters.get("target"):
            raise Invalid("whose actions?", hint="name a model or a tool: `target`")
        since, until = self._period(filters)
        scoped = {**filters, **({} if caller.team is None else {"team": caller.team})}
        first = earliest_id(since, "act") if since else ""
        last = min(earliest_id(until, "act") if until else _NEWEST, before or _NEWEST)
        page, further = await self.db.read(
            lambda tx: search.list_on_target(
                tx,
                scoped,
                since=first,
                before=last,
                rows=page_rows(rows),
                looked=TARGET_ACTIONS_LOOKED_MAX,
            )
        )
        return [listed(row) for row in page], further

    async def look_up(self, caller: Caller, words: str) -> Found:
        """What a run id, an action id, a correlation id or some words stand for."""
        authorise(caller, "read")
        words = words.strip()[:200]
        if not words:
            return Found()
        exact = await self.db.read(lambda tx: _exact(tx, caller, words))
        if exact is not None:
            return exact
        correlated = await self.list_runs(caller, {"correlation": words})
        return Found(runs=tuple(correlated or await self.list_runs(caller, {"text": words})))

    def _period(self, filters: Mapping[str, str]) -> tuple[int, int]:
        """The bounds of a period in microseconds; 0 where it has none."""
        if day := filters.get("day", ""):
            start = _midnight(day)
            return start, start + 86_400 * 1_000_000
        if since := filters.get("since", ""):
            return _midnight(since), 0
        if period := filters.get("period", ""):
            return _micros(self.clock.now() - PERIODS[period]), 0
        return 0, 0


def _exact(tx: Reading, caller: Caller, words: str) -> Found | None:
    """A run or an action of which this is the whole id."""
    run = runs.find(tx, words)
    if run is not None and caller.sees(run["team"]):
        return Found(run=words)
    action = actions.find(tx, words)
    if action is not None and caller.sees(action["team"]):
        return Found(action=words)
    return None


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def _midnight(text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"`{text[:40]}` is not a day", hint="write it as 2026-11-21") from error
    return _micros(datetime.combine(day, datetime.min.time(), UTC))


def _check(filters: Mapping[str, str]) -> None:
    known: dict[str, Sequence[str]] = {
        "state": RUN_STATES,
        "with": NOTABLE,
        "period": tuple(PERIODS),
    }
    nouns = {"state": "a state of a run", "with": "something to look for", "period": "a period"}
    for name, words in known.items():
        if filters.get(name, words[0]) not in words:
            raise Invalid(
                f"`{filters[name][:40]}` is not {nouns[name]}",
                hint=f"use one of {', '.join(words)}",
            )


def with_totals(tx: Reading, page: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs with what their actions add up to."""
    totals = search.totals_of(tx, [run["id"] for run in page])
    return [{**run, **summed(totals[run["id"]])} for run in page]


def summed(states: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Counts by state as the totals of a run."""
    return {
        "actions": sum(count for count, _ in states.values()),
        "cost_nanousd": sum(cost for _, cost in states.values()),
        "open": sum(states.get(state, (0, 0))[0] for state in _OPEN),
        "states": {state: count for state, (count, _) in states.items()},
        **{state: states.get(state, (0, 0))[0] for state in NOTABLE},
    }
