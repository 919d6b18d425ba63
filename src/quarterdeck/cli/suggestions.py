"""`quarterdeck suggestions`: writes that agents did not make, for people to carry out."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.decisions import Everything, Reveal, call_fields, decided, read_call
from quarterdeck.cli.listings import Listing, show_listing
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    pass

app = typer.Typer(help="Suggestions: list, show, carry out, dismiss.", no_args_is_help=True)
Suggestion = Annotated[
    str, typer.Argument(metavar="SUGGESTION", help="Its id, that of its action: act_…")
]


@command(app, "list", "suggestions list --agent triage")
def list_suggestions(
    given: Given,
    *,
    state: Annotated[
        str | None, typer.Option(help="open, carried_out or dismissed ones.")
    ] = "open",
    everything: Everything = False,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
) -> None:
    """List what agents would have done, newest first."""
    filters = {"state": None if everything else state, "agent": agent}
    columns = ("suggestion", "state", "agent", "what it would do", "suggested")
    listing = Listing(
        path="/v1/suggestions",
        filters=filters,
        limit=limit,
        columns=columns,
        empty="No suggestions.",
    )
    show_listing(given, listing, _row)


def _row(suggestion: dict[str, Any]) -> tuple[Any, ...]:
    return (
        suggestion["id"],
        suggestion["state"],
        suggestion["agent"],
        suggestion["consequences"]["summary"],
        render.when(suggestion["made_at"]),
    )


@command(app, "show", "suggestions show act_01k0…")
def show(given: Given, suggestion: Suggestion, *, reveal: Reveal = False) -> None:
    """Show one: what would happen, and its arguments."""
    shown = read_call(given, "/v1/suggestions", suggestion, reveal=reveal)
    if given.json:
        render.print_json(shown)
        return
    render.fields(
        {
            **call_fields(shown, "suggestion", "would call"),
            "suggested": render.when(shown["made_at"]),
            "decided": decided(shown["decided_by"], shown["decided_at"]),
            **({"void": shown["void_because"]} if shown["void_because"] else {}),
            "because": shown["because"] or "none given",
            "carried out as": shown["carried_action"] or "nothing",
        }
    )
    if shown["state"] == "open":
        render.say(f"\nDo it: quarterdeck suggestions carry-out {shown['id']} (or dismiss)")


@command(app, "carry-out", "suggestions carry-out act_01k0…")
def carry_out(given: Given, suggestion: Suggestion) -> None:
    """Make the call that was suggested, once.

    A run of the same agent is started for it, and the exact call is checked anew. The exit status
    is 1 if it was not done.
    """
    from quarterdeck.cli.client import ask, part

    path = f"/v1/suggestions/{part(suggestion)}/carry-out"
    carried = ask(given, lambda api: api.post(path, {}, seconds=None))
    if given.json:
        render.print_json(carried)
    else:
        render.fields({name: carried[name] for name in ("action", "run", "state", "because")})
    if carried["state"] != "done":
        raise typer.Exit(1)


@command(app, "dismiss", "suggestions dismiss act_01k0… --because 'the order was cancelled'")
def dismiss(
    given: Given,
    suggestion: Suggestion,
    because: Annotated[str, typer.Option(help="Why, for the record.")] = "",
) -> None:
    """Put a suggestion aside."""
    from quarterdeck.cli.client import ask, part

    path = f"/v1/suggestions/{part(suggestion)}/dismiss"
    ask(given, lambda api: api.post(path, {"because": because}))
    if given.json:
        render.print_json({"dismissed": suggestion})
    else:
        render.say(f"Dismissed {suggestion}.")
