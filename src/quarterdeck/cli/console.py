"""`quarterdeck console`: a link into the console of the running server."""

from typing import TYPE_CHECKING, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.cli.client import Api


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "console", "console")(console)


def console(given: Given) -> None:
    """Print a link that signs you in to the console.

    It works once, within 15 minutes.
    """
    from quarterdeck.cli.client import ask

    link = ask(given, _link)
    if given.json:
        render.print_json(link)
    else:
        render.say(link["url"])


async def _link(api: "Api") -> Any:
    from quarterdeck.cli.client import server_of

    server_of(api)
    return await api.post("/v1/sign-in-links")
