"""`quarterdeck secrets`: keys of vendors and servers, kept sealed. A value goes in, never out."""

import sys
from typing import Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Secrets: set, rotate, list, remove.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="As in fleet.yaml.")]


@command(app, "set", "secrets set OPENAI_KEY < key.txt")
def set_secret(given: Given, name: Name) -> None:
    """Set a secret.

    The value comes from standard input; at a terminal it is asked for and not shown.
    """
    from quarterdeck.cli.client import ask, part

    value = _value(name)
    ask(given, lambda api: api.put(f"/v1/secrets/{part(name)}", {"value": value}))
    if given.json:
        render.print_json({"set": name})
    else:
        render.say(f"Set {name}.")


@command(app, "rotate", "secrets rotate SHOP_KEY --overlap-hours 2 < new-key.txt")
def rotate(
    given: Given,
    name: Name,
    overlap_hours: Annotated[
        int | None,
        typer.Option(min=0, help="Hours the old value may stand in for the new (default 24)."),
    ] = None,
) -> None:
    """Replace a secret, and keep the old value for an overlap.

    The new value is used first. Where a server does not take it yet (401), the old one is shown
    until the overlap has passed. The new value comes from standard input.
    """
    from quarterdeck.cli.client import ask, part

    overlap = None if overlap_hours is None else overlap_hours * 3600
    body = {"value": _value(name), "overlap_seconds": overlap}
    ask(given, lambda api: api.post(f"/v1/secrets/{part(name)}/rotate", body))
    if given.json:
        render.print_json({"rotated": name})
    else:
        render.say(f"Rotated {name}.")


@command(app, "list", "secrets list")
def list_secrets(given: Given) -> None:
    """List the names of secrets, how old each is, and which are being rotated."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.page("/v1/secrets", 10_000))
    if given.json:
        render.print_json(page)
        return
    rows = [(s["name"], render.when(s["set_at"]), s["set_by"], _standing(s)) for s in page["items"]]
    empty = "No secrets. Set one with: quarterdeck secrets set NAME < FILE"
    render.table(("name", "set", "by", "standing"), rows, empty=empty)


def _standing(secret: dict[str, Any]) -> str:
    if secret["before_until"]:
        return f"old value until {render.when(secret['before_until'])}"
    return f"{secret['age_days']} days old"


def _value(name: str) -> str:
    """From standard input; at a terminal it is asked for and not shown."""
    if sys.stdin.isatty():
        return str(typer.prompt(f"Value of {name}", hide_input=True, err=True))
    return sys.stdin.read()


@command(app, "remove", "secrets remove OPENAI_KEY")
def remove(given: Given, name: Name) -> None:
    """Forget a secret."""
    from quarterdeck.cli.client import ask, part

    ask(given, lambda api: api.delete(f"/v1/secrets/{part(name)}"))
    if given.json:
        render.print_json({"removed": name})
    else:
        render.say(f"Removed {name}.")
