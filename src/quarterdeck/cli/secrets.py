"""`quarterdeck secrets`: keys of vendors and back ends, kept sealed. A value goes in, never out."""

import sys
from typing import Annotated

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Secrets: set, list, remove.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="As in fleet.yaml.")]


@command(app, "set", "secrets set OPENAI_KEY < key.txt")
def set_secret(given: Given, name: Name) -> None:
    """Set a secret.

    The value comes from standard input; at a terminal it is asked for and not shown.
    """
    from quarterdeck.cli.client import ask, part

    if sys.stdin.isatty():
        value = typer.prompt(f"Value of {name}", hide_input=True, err=True)
    else:
        value = sys.stdin.read()
    ask(given, lambda api: api.put(f"/v1/secrets/{part(name)}", {"value": value}))
    if given.json:
        render.print_json({"set": name})
    else:
        render.say(f"Set {name}.")


@command(app, "list", "secrets list")
def list_secrets(given: Given) -> None:
    """List the names of secrets."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.page("/v1/secrets", 10_000))
    if given.json:
        render.print_json(page)
        return
    rows = [(s["name"], render.when(s["set_at"]), s["set_by"]) for s in page["items"]]
    empty = "No secrets. Set one with: quarterdeck secrets set NAME < FILE"
    render.table(("name", "set", "by"), rows, empty=empty)


@command(app, "remove", "secrets remove OPENAI_KEY")
def remove(given: Given, name: Name) -> None:
    """Forget a secret."""
    from quarterdeck.cli.client import ask, part

    ask(given, lambda api: api.delete(f"/v1/secrets/{part(name)}"))
    if given.json:
        render.print_json({"removed": name})
    else:
        render.say(f"Removed {name}.")
