"""`quarterdeck costs`: what was charged, and what budgets have left."""

from typing import Annotated

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command


def add_to(app: typer.Typer) -> None:
    """Register `costs` and `budgets`."""
    command(app, "costs", "costs --by agent,day --days 30")(costs)
    command(app, "budgets", "budgets agent:triage")(budgets)


def costs(
    given: Given,
    by: Annotated[
        str, typer.Option(help="Sum by these, with commas: day, team, agent, kind, target.")
    ] = "agent",
    days: Annotated[int, typer.Option(min=1, help="How many days back, today included (UTC).")] = 7,
) -> None:
    """Sum what was charged."""
    from quarterdeck.cli.client import ask

    shown = ask(given, lambda api: api.get("/v1/costs", by=by, days=days))
    if given.json:
        render.print_json(shown)
        return
    words = shown["by"]
    rows = [
        (
            *(item[word] for word in words),
            item["actions"],
            item["failed"],
            item["refused"],
            item["input"] + item["cache_read"] + item["cache_write"],
            item["output"] + item["reasoning"],
            item["cost_usd"],
        )
        for item in shown["items"]
    ]
    columns = (*words, ">actions", ">failed", ">refused", ">tokens in", ">tokens out", ">USD")
    render.table(columns, rows, empty=f"Nothing was charged in the last {days} days.")


def budgets(
    given: Given,
    scope: Annotated[
        str, typer.Argument(metavar="SCOPE", help="fleet, team:NAME or agent:NAME.")
    ] = "fleet",
) -> None:
    """List what budgets have left."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.page("/v1/budgets", 1000, scope=scope))
    if given.json:
        render.print_json(page)
        return
    rows = []
    for window in page["items"]:
        money = window["usd"]
        amounts = money or window
        unit = "USD" if money else window["unit"]
        cells = (amounts[name] for name in ("cap", "charged", "held", "room"))
        rows.append(
            (window["starts"], window["per"], unit, *("none" if c is None else c for c in cells))
        )
    columns = ("from", "a", "unit", ">cap", ">charged", ">held", ">room")
    render.table(columns, rows, empty=f"Nothing was held or charged for {scope} yet.")
