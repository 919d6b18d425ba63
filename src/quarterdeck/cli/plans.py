"""`quarterdeck plans`: what agents mean to do, what the rules said, and what became of it."""

from typing import Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.listings import Listing, show_listing
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Plans: list, show.", no_args_is_help=True)


@command(app, "list", "plans list --run run_01k0…")
def list_plans(
    given: Given,
    *,
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
) -> None:
    """List plans, newest first."""
    columns = ("plan", "agent", "answer", ">calls", "made", "carried out")
    listing = Listing(
        path="/v1/plans", filters={"run": run}, limit=limit, columns=columns, empty="No plans."
    )
    show_listing(given, listing, _row)


def _row(plan: dict[str, Any]) -> tuple[Any, ...]:
    return (
        plan["id"],
        plan["agent"],
        plan["answer"],
        plan["steps"],
        render.when(plan["made_at"]),
        render.when(plan["carried_at"]) or "not yet",
    )


@command(app, "show", "plans show pln_01k0…")
def show(
    given: Given, plan: Annotated[str, typer.Argument(metavar="PLAN", help="Its id: pln_…")]
) -> None:
    """Show one plan: each call, its verdict, what became of it."""
    from quarterdeck.cli.client import ask, part

    shown = ask(given, lambda api: api.get(f"/v1/plans/{part(plan)}"))
    if given.json:
        render.print_json(shown)
        return
    render.fields(
        {
            "plan": shown["id"],
            "agent": shown["agent"],
            "run": shown["run"],
            "answer": shown["answer"],
            "made": render.when(shown["made_at"]),
            "carried out": render.when(shown["carried_at"]) or "not yet",
            "digest": shown["digest"],
        }
    )
    render.say()
    columns = (">", "call", "arguments", "verdict", "became", "approval")
    render.table(columns, [_step(step) for step in shown["steps"]], empty="It has no calls.")


def _step(step: dict[str, Any]) -> tuple[Any, ...]:
    became = f"{step['state']} ({step['action']})" if step["action"] else "not attempted"
    verdict = step["answer"]
    if verdict != "allow":
        verdict += ": " + "; ".join(f"{r['rule']}: {r['because']}" for r in step["reasons"])
    return (
        step["number"],
        step["target"],
        render.compact(step["arguments"]),
        verdict,
        became,
        step["approval"],
    )
