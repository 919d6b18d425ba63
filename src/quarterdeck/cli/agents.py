"""`quarterdeck agents`: who is in the fleet, and what each may do."""

from typing import Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Agents: list them, show one with its card.", no_args_is_help=True)

ALL = 100_000  # more than a fleet has
NO_AGENTS = "No agents yet. Make a fleet folder with `quarterdeck init DIR`, then `apply` it."


@command(app, "list", "agents list --team support")
def list_agents(
    given: Given,
    team: Annotated[str | None, typer.Option(help="Only agents of this team.")] = None,
) -> None:
    """List the agents in force."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.page("/v1/agents", ALL, team=team))
    if given.json:
        render.print_json(page)
        return
    rows = [
        (
            a["name"],
            a["team"],
            a["autonomy"],
            ", ".join(m["model"] for m in a["models"]),
            ", ".join(a["tools"]),
            a["purpose"],
        )
        for a in page["items"]
    ]
    render.table(("agent", "team", "level", "models", "tools", "purpose"), rows, empty=NO_AGENTS)


@command(app, "show", "agents show triage")
def show(
    given: Given, agent: Annotated[str, typer.Argument(metavar="AGENT", help="Its name.")]
) -> None:
    """Show one agent: its card, its models, its tools."""
    from quarterdeck.cli.client import ask, part

    shown = ask(given, lambda api: api.get(f"/v1/agents/{part(agent)}"))
    if given.json:
        render.print_json(shown)
        return
    render.fields(
        {
            "agent": shown["name"],
            "team": shown["team"],
            "owner": shown["owner"],
            "purpose": shown["purpose"],
            "autonomy": shown["autonomy"],
            "critical": "yes" if shown["critical"] else "no",
            "revision": shown["revision"],
            "models": ", ".join(
                f"{m['role']}: {m['model']} at {m['vendor']}{_fallback(m)}" for m in shown["models"]
            ),
            "caps": "; ".join(_cap(cap) for cap in shown["caps"]) or "none of its own",
        }
    )
    render.say()
    render.say(shown["card"])
    if shown["card_warning"]:
        render.say(f"\nWarning: {shown['card_warning']}.")
    render.say()
    rows = [(t["name"], t["effect"], t["trust"], t["description"]) for t in shown["tools"]]
    render.table(("tool", "effect", "trust", "what it does"), rows, empty="It has no tools.")


def _fallback(model: dict[str, Any]) -> str:
    second = model["fallback"]
    return f", else {second['model']} at {second['vendor']}" if second else ""


def _cap(cap: dict[str, Any]) -> str:
    amount = f"{cap['usd']} USD" if cap["usd"] else f"{cap['amount']} {cap['unit']}"
    return f"{amount} a {cap['per']}"
