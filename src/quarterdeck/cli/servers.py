"""`quarterdeck servers`: where tools live, what each server offers, and whether it can be asked."""

from typing import Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

app = typer.Typer(
    help="Servers: list, show with what it offers, sign in and out.", no_args_is_help=True
)
ALL = 100_000
NO_SERVERS = "No servers yet. Write servers/NAME.yaml, or see `quarterdeck tools import --help`."


@command(app, "list", "servers list")
def list_servers(given: Given) -> None:
    """List the servers of the fleet in force."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.page("/v1/servers", ALL))
    if given.json:
        render.print_json(page)
        return
    asks = any(server["consent"] for server in page["items"])
    rows = [
        (s["name"], s["protocol"], s["where"], _state(s), s["tools"], s["quarantined"])
        + ((_sign_in(s["consent"]),) if asks else ())
        for s in page["items"]
    ]
    columns = ("server", "protocol", "where", "state", "tools", "quarantined")
    render.table(columns + (("sign-in",) if asks else ()), rows, empty=NO_SERVERS)


@command(app, "show", "servers show shop")
def show(
    given: Given, name: Annotated[str, typer.Argument(metavar="SERVER", help="Its name.")]
) -> None:
    """Show one server, and every tool that it offers or offered."""
    from quarterdeck.cli.client import ask, part

    shown = ask(given, lambda api: api.get(f"/v1/servers/{part(name)}"))
    if given.json:
        render.print_json(shown)
        return
    render.fields(
        {
            "server": shown["name"],
            "protocol": f"{shown['protocol']} {shown['version']}".strip(),
            "where": shown["where"],
            "state": _state(shown),
            "looked at": render.when(shown["listed_at"]) if shown["listed_at"] else "not yet",
            "contracts": ", ".join(shown["contracts"]) or "none",
            **_consent(shown["name"], shown["consent"]),
        }
    )
    render.say()
    rows = [
        (o["tool"], o["contract"] or "none", o["state"], len(o["signs"]), o["description"])
        for o in shown["offers"]
    ]
    columns = ("tool", "contract", "state", "signs", "what it says of itself")
    render.table(columns, rows, empty="It offers no tools, or was not looked at yet.")


@command(app, "sign-in", "servers sign-in tracker")
def sign_in(
    given: Given,
    name: Annotated[str, typer.Argument(metavar="SERVER", help="Its name.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this machine, where the answer comes to.")
    ] = 0,
) -> None:
    """Sign in at a server in your browser, so that agents may use it as you allow.

    The address to open is printed; the answer comes back to this machine. What you grant is kept
    sealed, as the secret that the server's file names, and refreshed when it ends.
    """
    from quarterdeck.cli.answers import answering
    from quarterdeck.cli.client import ask, part

    at = f"/v1/servers/{part(name)}/sign-in"
    with answering(port) as (redirect_uri, wait):
        asked = ask(given, lambda api: api.post(at, {"redirect_uri": redirect_uri}))
        render.warn("Open this in a browser on this machine, and sign in:\n")
        render.warn(f"  {asked['url']}\n")
        answer = wait()
    granted = ask(given, lambda api: api.post(f"{at}/answer", {"url": answer}))
    if given.json:
        render.print_json(granted)
    else:
        scopes = f" ({', '.join(granted['scopes'])})" if granted["scopes"] else ""
        render.say(f"Signed in at {name}{scopes}.")


@command(app, "sign-out", "servers sign-out tracker")
def sign_out(
    given: Given, name: Annotated[str, typer.Argument(metavar="SERVER", help="Its name.")]
) -> None:
    """Withdraw what was granted at a server: the token is forgotten, and agents are let in no more.

    The issuer is not told. Where that matters, end what you granted there too.
    """
    from quarterdeck.cli.client import ask, part

    ask(given, lambda api: api.delete(f"/v1/servers/{part(name)}/sign-in"))
    if given.json:
        render.print_json({"signed_out": name})
    else:
        render.say(f"Signed out at {name}. To sign in again: quarterdeck servers sign-in {name}")


def _sign_in(consent: dict[str, Any] | None) -> str:
    if consent is None:
        return "not needed"
    return "nobody yet" if consent["state"] == "nobody" else str(consent["state"])


def _consent(server: str, consent: dict[str, Any] | None) -> dict[str, Any]:
    """What somebody granted, as fields; never what it was granted by."""
    if consent is None:
        return {}
    found = {"sign-in": f"{_sign_in(consent)}: {consent['because']}", "issuer": consent["issuer"]}
    if consent["state"] == "nobody":
        return found | {"to sign in": f"quarterdeck servers sign-in {server}"}
    renewed = "renewed by itself" if consent["renews"] else "not renewed"
    until = render.when(consent["until"]) if consent["until"] else "not said by its issuer"
    return found | {
        "granted by": consent["by"] or "not known",
        "granted": render.when(consent["at"]) if consent["at"] else "not known",
        "scopes": " ".join(consent["scopes"]) or "none named",
        "token until": f"{until}, {renewed}",
    }


def _state(server: dict[str, Any]) -> str:
    if server["problem"]:
        return str(server["problem"])
    if server["protocol"] != "mcp":
        return "called when it is used"
    if server["listed_at"] is None:
        return "not looked at by this process"
    return "sleeping" if server["running"] is False else "answers"
