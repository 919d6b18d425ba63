"""`quarterdeck blast-radius`: the most an agent could do in one hour."""

from typing import Annotated, Any, Final

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

ALL: Final = 100_000  # more than a fleet has
_JUDGED: Final = {
    "within": "within what it declares",
    "above": "ABOVE what it declares: `apply` would refuse it",
    "undeclared": "NOT DECLARED: `apply` would refuse it",
    "needless": "it is granted nothing that writes, so it need not declare anything",
}
_COUNTED: Final = ("written", "deleted", "messages")


def add_to(app: typer.Typer) -> None:
    """Register `blast-radius`."""
    command(app, "blast-radius", "blast-radius triage")(blast_radius)


def blast_radius(
    given: Given,
    agent: Annotated[
        str | None, typer.Argument(metavar="[AGENT]", help="Its name; else all agents.")
    ] = None,
) -> None:
    """Show the most an agent could do in one hour.

    Money per currency, records written and deleted, messages sent, classes of data it can read:
    computed from contracts, rates and budgets, for an hour of the clock (UTC).
    """
    from quarterdeck.cli.client import ask, part

    if agent is None:
        page = ask(given, lambda api: api.page("/v1/blast-radius", ALL))
        render.print_json(page) if given.json else _all(page["items"])
        return
    shown = ask(given, lambda api: api.get(f"/v1/agents/{part(agent)}/blast-radius"))
    render.print_json(shown) if given.json else _one(shown)


def _all(items: list[dict[str, Any]]) -> None:
    rows = []
    for one in items:
        most = {f["quantity"]: f["most"] for f in one["figures"]}
        money = [f"{_figure(m)} {name}" for name, m in most.items() if name not in _COUNTED]
        rows.append(
            (
                one["agent"],
                ", ".join(money) or "0",
                *(_figure(most[name]) for name in _COUNTED),
                ", ".join(one["data"]) or "none declared",
                one["judgement"],
            )
        )
    columns = ("agent", ">money", ">written", ">deleted", ">messages", "data read", "declared")
    empty = "No agents yet. Make a fleet folder with `quarterdeck init DIR`, then `apply` it."
    render.table(columns, rows, empty=empty)


def _one(shown: dict[str, Any]) -> None:
    judged = _JUDGED[shown["judgement"]]
    render.say(f"The most {shown['agent']} could do in one hour ({judged}):\n")
    rows = [
        (f["words"], _figure(f["most"]), "-" if f["declared"] is None else f["declared"])
        for f in shown["figures"]
    ]
    declared = shown["data_declared"]
    rows.append(
        (
            "classes of data read",
            ", ".join(shown["data"]) or "none in its contracts",
            "-" if declared is None else ", ".join(declared) or "none",
        )
    )
    render.table(("what", ">in one hour", ">declared"), rows, empty="")
    for figure in shown["figures"]:
        if figure["most"] is None:
            missing = figure["would_bound"]
            render.say(f"\n{figure['words']} unbounded: {missing} would bound it.")
    if shown["servers"]:
        names = ", ".join(shown["servers"])
        render.say(f"\nIt can also read resources of {names}; no contract says what they hold.")
    render.say()
    lines = [_tool(line) for line in shown["tools"]]
    columns = ("tool", "effect", "one call", ">calls an hour", "because of")
    render.table(columns, lines, empty="It has no tools.")
    if shown["shared_limit"]:
        render.say(f"\nAll of them together: {shown['shared_limit']}.")


def _figure(most: str | None) -> str:
    return "unbounded" if most is None else most


def _tool(line: dict[str, Any]) -> tuple[str, ...]:
    each = ", ".join(f"{amount} {name}" for name, amount in line["each"].items())
    nothing = "nothing bounds it" if each else "nothing bounds it, and nothing adds up"
    said = [line["limit"] or nothing]
    if not line["taken"]:
        said = ["only suggested at this level"]
    elif line["asks"]:
        said.append("each call asks a person")
    calls = "0" if not line["taken"] else _figure(line["calls"])
    return line["tool"], line["effect"], each or "-", str(calls), "; ".join(said)
