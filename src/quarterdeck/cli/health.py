"""`quarterdeck doctor` and `version`."""

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "doctor", "doctor")(doctor)
    command(app, "version", "version")(version)


def doctor(given: Given) -> None:
    """Check what this fleet needs.

    The exit status is 1 if something fails; warnings do not count.
    """
    from quarterdeck.cli.client import ask

    found = ask(given, lambda api: api.get("/v1/health"))
    if given.json:
        render.print_json(found)
    else:
        rows = [(c["state"], c["name"], c["found"], c["do"]) for c in found["checks"]]
        render.table(("state", "what", "found", "what to do"), rows, empty="Nothing to check.")
    if found["state"] == "fail":
        raise typer.Exit(1)


def version(given: Given) -> None:
    """Print the version."""
    from quarterdeck import __version__

    if given.json:
        render.print_json({"version": __version__})
    else:
        render.say(f"quarterdeck {__version__}")
