"""Costs: what was charged, by day, agent and target; every sum leads to what makes it up."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console.agents import plot_of
from quarterdeck.console.fleet import Figure, meter
from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import amount, count, line
from quarterdeck.console.views import (
    Choice,
    Cost,
    Link,
    Meter,
    actions_href,
    agent_href,
    choices,
    money,
    runs_href,
)
from quarterdeck.domain.errors import Invalid
from quarterdeck.services import Services

_DAYS: Final = {"1": "today", "7": "7 days", "14": "14 days", "30": "30 days", "90": "90 days"}
_SERIES_MAX: Final = 6
_BUCKETS: Final = ("input", "cache_read", "cache_write", "output", "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """A sum, and what it is made of; `part` of a thousand of the dearest row."""

    name: str
    note: str
    href: str
    cost: Cost
    part: int
    actions: str
    tokens: str
    refused: Link | None
    failed: Link | None
    runs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsPage:
    """What was charged in a period."""

    days: tuple[Choice, ...]
    words: str
    figures: tuple[Figure, ...]
    agents: tuple[CostRow, ...]
    targets: tuple[CostRow, ...]
    by_day: tuple[CostRow, ...]
    meters: tuple[Meter, ...]
    plot: str
    section: str = "costs"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPages:
    """The page of costs."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/costs", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """What was charged."""
        visit = await self.pages.visit(request)
        chosen = request.query_params.get("days", "14")
        if chosen not in _DAYS:
            raise Invalid("costs are shown of some periods", hint=f"use {', '.join(_DAYS)} days")
        caller, costs = visit.caller, self.services.costs
        days = int(chosen)
        page = costs_page(
            await costs.summary(caller, by=("day", "agent"), days=days),
            await costs.summary(caller, by=("kind", "target"), days=days),
            chosen,
            visit.now.astimezone(UTC).date(),
            meters=tuple(meter(use) for use in await self.services.overview.caps(caller)),
        )
        return self.pages.answer(visit, "costs.html", page)


def costs_page(
    rows: Sequence[Mapping[str, Any]],
    on_targets: Sequence[Mapping[str, Any]],
    chosen: str,
    last: date,
    *,
    meters: tuple[Meter, ...],
) -> CostsPage:
    """Sums of the same charges from three sides."""
    days = [(last - timedelta(days=back)).isoformat() for back in reversed(range(int(chosen)))]
    when = {"day" if len(days) == 1 else "since": days[0]}
    by_agent, by_day = _summed(rows, "agent"), _summed(rows, "day")
    by_target = _summed(on_targets, "target")
    kinds = {row["target"]: row["kind"] for row in on_targets}
    total = sum(row["cost_nanousd"] for row in rows)
    return CostsPage(
        days=choices(list(_DAYS.items()), chosen),
        words=_DAYS[chosen],
        figures=_figures(rows, total, len(days)),
        agents=_rows(
            by_agent,
            agent_href,
            runs=lambda agent, /, **more: runs_href({"agent": agent, **when, **more}),
        ),
        targets=_rows(
            by_target,
            lambda target: actions_href({"target": target, **when}),
            notes=kinds,
            actions=lambda target, state: actions_href({"target": target, "state": state, **when}),
        ),
        by_day=_rows(
            dict(sorted(by_day.items(), reverse=True)),
            lambda day: runs_href({"day": day}),
            runs=lambda day, /, **more: runs_href({"day": day, **more}),
        ),
        meters=meters,
        plot=_plot(rows, days, by_agent),
    )


def _summed(rows: Sequence[Mapping[str, Any]], by: str) -> dict[str, dict[str, int]]:
    """Rows by one column, dearest first."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        into = sums[row[by]]
        for name in ("actions", "failed", "refused", "cost_nanousd", *_BUCKETS):
            into[name] += row[name]
    return dict(sorted(sums.items(), key=lambda item: -item[1]["cost_nanousd"]))


class RunsHref(Protocol):
    """Where the runs of a row are, narrowed further."""

    def __call__(self, name: str, /, **more: str) -> str: ...


def _rows(
    sums: Mapping[str, Mapping[str, int]],
    href: Callable[[str], str],
    *,
    notes: Mapping[str, str] | None = None,
    runs: RunsHref | None = None,
    actions: Callable[[str, str], str] | None = None,
) -> tuple[CostRow, ...]:
    most = max((row["cost_nanousd"] for row in sums.values()), default=0)

    def notable(name: str, state: str) -> Link | None:
        number = sums[name][state]
        if not number:
            return None
        if actions is not None:
            return Link(text=f"{number:,}", href=actions(name, state), tone="bad")
        assert runs is not None, "a row leads to runs or to actions"
        return Link(text=f"{number:,}", href=runs(name, **{"with": state}), tone="bad")

    return tuple(
        CostRow(
            name=line(name, 120),
            note=(notes or {}).get(name, ""),
            href=href(name),
            cost=money(row["cost_nanousd"]),
            part=row["cost_nanousd"] * 1000 // most if most else 0,
            actions=f"{row['actions']:,}",
            tokens=count(sum(row[b] for b in _BUCKETS)),
            refused=notable(name, "refused"),
            failed=notable(name, "failed"),
            runs="" if runs is None else runs(name),
        )
        for name, row in sums.items()
    )


def _figures(rows: Sequence[Mapping[str, Any]], total: int, days: int) -> tuple[Figure, ...]:
    actions = sum(row["actions"] for row in rows)
    tokens = sum(row[b] for row in rows for b in _BUCKETS)
    cached = sum(row["cache_read"] for row in rows)
    taken = cached + sum(row["input"] + row["cache_write"] for row in rows)
    spent, daily = amount(total), amount(total // max(1, days))
    each = amount(total // actions) if actions else None
    share = f"{cached * 100 // taken} %" if taken else "none"
    return (
        Figure(name="Charged", text=spent.text, exact=spent.exact, href="#by-agent"),
        Figure(name="A day", text=daily.text, exact=daily.exact, href="#by-day"),
        Figure(
            name="An action", text="none" if each is None else each.text,
            exact="" if each is None else each.exact, href="#by-target",
        ),
        Figure(name="Actions", text=count(actions), exact=f"{actions:,}", href="#by-target"),
        Figure(name="Tokens", text=count(tokens), exact=f"{tokens:,}", href="#by-target"),
        Figure(name="Input from cache", text=share, exact=f"{cached:,} tokens", href="#by-target"),
    )  # fmt: skip


def _plot(
    rows: Sequence[Mapping[str, Any]], days: Sequence[str], by_agent: Mapping[str, Any]
) -> str:
    """The dearest agents as series of their own, all others as one."""
    named = list(by_agent)[:_SERIES_MAX]
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        name = row["agent"] if row["agent"] in named else "all others"
        sums[name][row["day"]] += row["cost_nanousd"]
    names = [*named, *(["all others"] if "all others" in sums else [])]
    series = [(name, [sums[name].get(day, 0) for day in days]) for name in names]
    return plot_of(days, series, {day: runs_href({"day": day}) for day in days})
