"""`quarterdeck actions`: what a run did, and which rule let it."""

from typing import Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.listings import Listing, SinceTime, UntilTime, moment_of, show_listing
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Actions: of a run, one by id, those in doubt.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]


@command(app, "list", "actions list --run run_01k0…")
def list_actions(
    given: Given,
    *,
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Only of this run, in order.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="The same as RUN.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only model or tool calls.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only done, failed, refused, held, suggested, in_doubt… ones."),
    ] = None,
    since: SinceTime = None,
    until: UntilTime = None,
    limit: Limit = 200,
) -> None:
    """List actions with their verdicts.

    Those of one run come in their order, others newest run first. A long list is printed as it
    comes, and never held whole.
    """
    from quarterdeck.cli.client import part

    filters = {
        "agent": agent,
        "team": team,
        "kind": kind,
        "state": state,
        "since": moment_of(since),
        "until": moment_of(until),
    }
    named = run_id or run
    path, empty = "/v1/actions", "No actions. See the runs: quarterdeck runs list"
    if named is not None and not any(filters.values()):
        path, empty = f"/v1/runs/{part(named)}/actions", "The run has not asked for anything yet."
        filters = {}
    elif named is not None:
        filters["run"] = named
    _show_list(given, path, filters, limit, empty)


@command(app, "in-doubt", "actions in-doubt")
def in_doubt(given: Given, limit: Limit = 200) -> None:
    """List actions that may or may not have happened."""
    _show_list(given, "/v1/actions", {"state": "in_doubt"}, limit, "Nothing is in doubt.")


@command(app, "show", "actions show act_01k0…")
def show(
    given: Given, action: Annotated[str, typer.Argument(metavar="ACTION", help="Its id.")]
) -> None:
    """Show one action: asked, decided, done, charged."""
    from quarterdeck.cli.client import ask, part

    # Programs get the whole of a long conversation, people its end.
    whole = given.json or None
    shown = ask(given, lambda api: api.get(f"/v1/actions/{part(action)}", whole=whole))
    if given.json:
        render.print_json(shown)
        return
    usage, detail = shown["usage"] or {}, dict(shown["detail"])
    render.fields(
        {
            "action": shown["id"],
            "run": shown["run"],
            "agent": shown["agent"],
            "asks for": f"{shown['kind']} {shown['target']}",
            "verdict": shown["answer"],
            "rules": _reasons(shown, "\n"),
            "state": shown["state"],
            **_doubt(shown["doubt"]),
            "mark": shown["mark"],
            "labels": ", ".join(shown["labels"]) or "none",
            "proposed": render.when(shown["proposed_at"]),
            "settled": render.when(shown["settled_at"]) or "not yet",
            "cost": f"{shown['cost_usd']} USD ({shown['held_usd']} held)",
            "tokens": ", ".join(f"{count} {name}" for name, count in usage.items()) or "none",
            **{n: shown[n] for n in ("approval", "suggestion", "plan") if shown[n]},
            **_tried(detail.pop("attempts", [])),
            "detail": render.compact(detail) if detail else "none",
            "request": render.compact({k: v for k, v in shown["request"].items() if v != 0}),
            "response": "none" if shown["response"] is None else render.compact(shown["response"]),
        }
    )


def _doubt(doubt: dict[str, Any] | None) -> dict[str, str]:
    """Of what nobody knows the outcome of: how often it was tried again, and what to do."""
    if doubt is None:
        return {}
    again = "" if doubt["next_at"] is None else f", next {render.when(doubt['next_at'])}"
    tried = {"tried again": f"{doubt['tries']} times{again}"} if doubt["tries"] else {}
    return {"outcome": "unknown", **tried, "what to do": doubt["words"]}


def _show_list(
    given: Given, path: str, filters: dict[str, str | None], limit: int, empty: str
) -> None:
    columns = ("action", "kind", "target", "verdict", "state", ">USD", "rules")
    listing = Listing(path=path, filters=filters, limit=limit, columns=columns, empty=empty)
    show_listing(given, listing, _row)


def _row(action: dict[str, Any]) -> tuple[Any, ...]:
    return (
        action["id"],
        action["kind"],
        action["target"],
        action["answer"],
        action["state"],
        action["cost_usd"],
        _reasons(action, "; "),
    )


def _reasons(action: dict[str, Any], between: str) -> str:
    return between.join(f"{r['rule']}: {r['because']}" for r in action["reasons"])


def _tried(attempts: list[dict[str, Any]]) -> dict[str, str]:
    """One line for each attempt, if there was more to it than one that was answered."""
    lines = [f"{number}. {_attempt(tried)}" for number, tried in enumerate(attempts, 1)]
    return {"attempts": "\n".join(lines)} if lines else {}


def _attempt(tried: dict[str, Any]) -> str:
    from quarterdeck.domain.money import usd

    words = [
        f"{tried['vendor']} {tried['model']}",
        f"{tried['end']} {tried.get('status', '')}".strip().replace("_", " "),
        f"after {tried['took_ms']} ms",
    ]
    if "usage" in tried:
        estimated = " (estimated)" if tried["usage_source"] == "estimated" else ""
        words.append(f"{usd(tried['cost_nanousd'])} USD{estimated}")
    if tried.get("error"):
        words.append(tried["error"])
    return ", ".join(words)
