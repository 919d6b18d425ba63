"""The timeline of a run: its actions by their place, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.limits import PAGE_ROWS_MAX
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.services.actions import links_of, listed
from quarterdeck.services.search import summed
from quarterdeck.store import payloads, runs, search, timeline
from quarterdeck.store.database import Database, Reading, Row

_ROW: Final = (
    "id", "agent", "team", "revision", "state", "kind", "started_by", "started_at", "ended_at",
    "because", "correlation", "deadline",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Actions of a run from a place on; `led` says whether model calls lead what follows them."""

    actions: list[dict[str, Any]]
    led: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The use cases of reading one run in order."""

    db: Database

    async def show(self, caller: Caller, run: str) -> dict[str, Any]:
        """A run with its totals, its redacted input and its outcome."""
        authorise(caller, "read")
        return await self.db.read(lambda tx: _shown(tx, caller, run))

    async def find(self, caller: Caller, run: str) -> Row:
        """A run's own row, without its totals."""
        authorise(caller, "read")
        return await self.db.read(lambda tx: _row(tx, caller, run))

    async def window(
        self, caller: Caller, run: str, *, offset: int, rows: int, states: Sequence[str] = ()
    ) -> Window:
        """`rows` actions from a place on (the first is 0), of these states only if any is named."""
        authorise(caller, "read")
        count = max(1, min(rows, PAGE_ROWS_MAX))

        def read(tx: Reading) -> Window:
            _row(tx, caller, run)
            found = timeline.window(tx, run, offset=max(0, offset), rows=count, states=states)
            links = links_of(tx, [row["id"] for row in found])
            return Window(
                actions=[listed(row) | links[row["id"]] for row in found],
                led=timeline.is_led_by_a_model(tx, run),
            )

        return await self.db.read(read)

    async def place_of(self, caller: Caller, run: str, action: str) -> int:
        """How many actions of the run came before this one."""
        authorise(caller, "read")

        def read(tx: Reading) -> int:
            _row(tx, caller, run)
            return timeline.place_of(tx, run, action)

        return await self.db.read(read)

    async def neighbours(self, caller: Caller, run: str, action: str) -> tuple[str, str]:
        """The actions before and after this one; empty where there is none."""
        authorise(caller, "read")

        def read(tx: Reading) -> tuple[str, str]:
            _row(tx, caller, run)
            return timeline.neighbours(tx, run, action)

        return await self.db.read(read)

    async def stamps(self, watched: Sequence[str]) -> dict[str, tuple[object, ...]]:
        """For each watched run, and for `` (all of them), what differs once something happened.

        For the console's one poller per process; it tells nothing but that something changed.
        """

        def read(tx: Reading) -> dict[str, tuple[object, ...]]:
            return {
                run: timeline.stamp(tx, run) if run else timeline.stamp_of_all(tx)
                for run in watched
            }

        return await self.db.read(read)


def _row(tx: Reading, caller: Caller, run: str) -> Row:
    row = runs.find(tx, run)
    if row is None or not caller.sees(row["team"]):
        raise NotFound(f"no run `{run}`", hint="see `quarterdeck runs list`")
    return row


def _shown(tx: Reading, caller: Caller, run: str) -> dict[str, Any]:
    row = _row(tx, caller, run)
    result = row["result"]
    return {
        **{name: row[name] for name in _ROW},
        **summed(search.totals_of(tx, [run])[run]),
        "labels": row["labels"].split(),
        "input": _input(tx, row),
        "result": None if result is None else orjson.loads(result),
    }


def _input(tx: Reading, row: Row) -> Any:
    body = payloads.get(tx, row["input"])
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
