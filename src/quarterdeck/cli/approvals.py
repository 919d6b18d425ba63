"""`quarterdeck approvals`: what waits for you, the exact call, and your answer."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.decisions import Everything, Reveal, call_fields, decided, read_call
from quarterdeck.cli.listings import Listing, show_listing
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.cli.client import Api

app = typer.Typer(help="Approvals: list, show, approve, deny.", no_args_is_help=True)
Approval = Annotated[str, typer.Argument(metavar="APPROVAL", help="Its id: apr_…")]
Because = Annotated[str, typer.Option(help="Why, for the record and for the agent.")]
Digest = Annotated[
    str | None,
    typer.Option(help="The digest `show` printed: answer only if it is still that call."),
]


@command(app, "list", "approvals list")
def list_approvals(
    given: Given,
    *,
    state: Annotated[
        str | None, typer.Option(help="waiting, granted, denied, spent or lapsed ones.")
    ] = "waiting",
    everything: Everything = False,
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
) -> None:
    """List the calls that wait for a person, newest first."""
    filters = {"state": None if everything else state, "run": run}
    columns = ("approval", "state", "agent", "call", "asked", "answered by")
    listing = Listing(
        path="/v1/approvals",
        filters=filters,
        limit=limit,
        columns=columns,
        empty="Nothing waits for you." if state == "waiting" else "No approvals.",
    )
    show_listing(given, listing, _row)


def _row(approval: dict[str, Any]) -> tuple[Any, ...]:
    return (
        approval["id"],
        approval["state"],
        approval["agent"],
        approval["target"],
        render.when(approval["asked_at"]),
        approval["answered_by"],
    )


@command(app, "show", "approvals show apr_01k0…")
def show(given: Given, approval: Approval, *, reveal: Reveal = False) -> None:
    """Show one: what would happen, its arguments, its digest."""
    shown = read_call(given, "/v1/approvals", approval, reveal=reveal)
    if given.json:
        render.print_json(shown)
        return
    render.fields(
        {
            **call_fields(shown, "approval", "asks for"),
            "asked": render.when(shown["asked_at"]),
            "answered": decided(shown["answered_by"], shown["answered_at"]),
            "because": shown["because"] or "none given",
            "used by": shown["spent_by"] or "nothing yet",
            "plan": shown["plan"] or "none",
            "digest": shown["digest"],
        }
    )
    if shown["state"] == "waiting":
        render.say(f"\nAnswer it: quarterdeck approvals approve {shown['id']} (or deny)")


@command(app, "approve", "approvals approve apr_01k0… --because 'checked with ann'")
def approve(given: Given, approval: Approval, because: Because = "", digest: Digest = None) -> None:
    """Allow this one call, once.

    Its run asks for the same call again; everything but this question is then asked anew.
    """
    _answer(given, approval, "approve", because, digest)


@command(app, "deny", "approvals deny apr_01k0… --because 'wrong account'")
def deny(given: Given, approval: Approval, because: Because = "", digest: Digest = None) -> None:
    """Deny this call; the agent is told, with your reason."""
    _answer(given, approval, "deny", because, digest)


def _answer(given: Given, approval: str, answer: str, because: str, digest: str | None) -> None:
    from quarterdeck.cli.client import ask, part

    async def answering(api: "Api") -> dict[str, Any]:
        path = f"/v1/approvals/{part(approval)}"
        seen = digest or (await api.get(path))["digest"]
        body = {"answer": answer, "digest": seen, "because": because}
        shown: dict[str, Any] = await api.post(path, body)
        return shown

    shown = ask(given, answering)
    if given.json:
        render.print_json(shown)
        return
    did = "Approved" if answer == "approve" else "Denied"
    render.say(f"{did} {shown['target']} of {shown['agent']} ({shown['id']}).")
