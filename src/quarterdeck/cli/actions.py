"""`quarterdeck actions`: what a run did, and which rule let it."""

from typing import Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Actions: of a run, one by id, those in doubt.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]


@command(app, "list", "actions list run_01k0…")
def list_actions(
    given: Given,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id.")],
    limit: Limit = 200,
) -> None:
    """List the actions of a run, with their verdicts."""
    from quarterdeck.cli.client import ask, part

    page = ask(given, lambda api: api.pages(f"/v1/runs/{part(run)}/actions", limit))
    _show_list(given, page, empty="The run has not asked for anything yet.")


@command(app, "in-doubt", "actions in-doubt")
def in_doubt(given: Given, limit: Limit = 200) -> None:
    """List actions that may or may not have happened."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.get("/v1/actions", in_doubt=True, limit=min(limit, 500)))
    _show_list(given, page, empty="Nothing is in doubt.")


@command(app, "show", "actions show act_01k0…")
def show(
    given: Given, action: Annotated[str, typer.Argument(metavar="ACTION", help="Its id.")]
) -> None:
    """Show one action: asked, decided, done, charged."""
    from quarterdeck.cli.client import ask, part

    shown = ask(given, lambda api: api.get(f"/v1/actions/{part(action)}"))
    if given.json:
        render.print_json(shown)
        return
    usage = shown["usage"] or {}
    render.fields(
        {
            "action": shown["id"],
            "run": shown["run"],
            "agent": shown["agent"],
            "asks for": f"{shown['kind']} {shown['target']}",
            "verdict": shown["answer"],
            "rules": _reasons(shown, "\n"),
            "state": shown["state"],
            "mark": shown["mark"],
            "labels": ", ".join(shown["labels"]) or "none",
            "proposed": render.when(shown["proposed_at"]),
            "settled": render.when(shown["settled_at"]) or "not yet",
            "cost": f"{shown['cost_usd']} USD ({shown['held_usd']} held)",
            "tokens": ", ".join(f"{count} {name}" for name, count in usage.items()) or "none",
            "detail": render.compact(shown["detail"]) if shown["detail"] else "none",
            "request": render.compact(shown["request"]),
            "response": "none" if shown["response"] is None else render.compact(shown["response"]),
        }
    )


def _show_list(given: Given, page: dict[str, Any], *, empty: str) -> None:
    if given.json:
        render.print_json(page)
        return
    rows = [
        (
            a["id"],
            a["kind"],
            a["target"],
            a["answer"],
            a["state"],
            a["cost_usd"],
            _reasons(a, "; "),
        )
        for a in page["items"]
    ]
    columns = ("action", "kind", "target", "verdict", "state", ">USD", "rules")
    render.table(columns, rows, empty=empty)
    if page["next"]:
        render.warn("There are more; use --limit.")


def _reasons(action: dict[str, Any], between: str) -> str:
    return between.join(f"{r['rule']}: {r['because']}" for r in action["reasons"])
