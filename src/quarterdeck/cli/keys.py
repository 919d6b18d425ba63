"""`quarterdeck keys`: long-lived keys with which agents start their own runs."""

from typing import Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Agent keys: issue, list, rotate, revoke.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(metavar="KEY", help="Its id, from `keys list`.")]


@command(app, "issue", "keys issue triage --days 90")
def issue(
    given: Given,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Whom it is for.")],
    days: Annotated[int | None, typer.Option(help="Days until it expires.")] = None,
) -> None:
    """Issue a key for an agent; its secret is shown once."""
    from quarterdeck.cli.client import ask

    body = {"agent": agent, "days": days}
    _show(given, ask(given, lambda api: api.post("/v1/keys", body)))


@command(app, "list", "keys list --agent triage")
def list_keys(
    given: Given,
    agent: Annotated[str | None, typer.Option(help="Only keys of this agent.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
) -> None:
    """List keys, without their secrets."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.page("/v1/keys", limit, agent=agent))
    if given.json:
        render.print_json(page)
        return
    rows = [
        (
            k["id"],
            k["agent"],
            f"…{k['hint']}",
            render.when(k["issued_at"]),
            render.when(k["expires_at"]) or "never",
            _standing(k),
        )
        for k in page["items"]
    ]
    empty = "No keys. Issue one with: quarterdeck keys issue AGENT"
    render.table(("id", "agent", "ends in", "issued", "expires", "standing"), rows, empty=empty)


def _standing(key: dict[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {render.when(key['revoked_at'])}"
    return f"rotated to {key['rotated_to']}" if key["rotated_to"] else "good"


@command(app, "rotate", "keys rotate key_01k0… --overlap-hours 2")
def rotate(
    given: Given,
    key: Key,
    overlap_hours: Annotated[
        int | None, typer.Option(min=0, help="Hours the old key lives on (default 24).")
    ] = None,
) -> None:
    """Issue a key beside an old one, which lives on for the overlap."""
    from quarterdeck.cli.client import ask, part

    body = {"overlap_seconds": None if overlap_hours is None else overlap_hours * 3600}
    _show(given, ask(given, lambda api: api.post(f"/v1/keys/{part(key)}/rotate", body)))


@command(app, "revoke", "keys revoke key_01k0…")
def revoke(given: Given, key: Key) -> None:
    """End a key now."""
    from quarterdeck.cli.client import ask, part

    ask(given, lambda api: api.post(f"/v1/keys/{part(key)}/revoke"))
    if given.json:
        render.print_json({"revoked": key})
    else:
        render.say(f"Revoked {key}.")


def _show(given: Given, issued: dict[str, Any]) -> None:
    if given.json:
        render.print_json(issued)
        return
    render.fields(
        {
            "id": issued["id"],
            "agent": issued["agent"],
            "secret": issued["secret"],
            "expires": render.when(issued["expires_at"]) or "never",
        }
    )
    render.warn("Keep the secret now: it is not shown again.")
