"""`quarterdeck tools`: contracts, what servers say of them, and what waits in quarantine."""

from typing import Annotated, Any

import typer

from quarterdeck.cli import render, tool_imports
from quarterdeck.cli.options import Given, command

app = typer.Typer(help="Tools: list, show, compare, release, import.", no_args_is_help=True)
app.add_typer(tool_imports.app, name="import")
ALL = 100_000
NO_TOOLS = "No tools yet. Write a contract in tools/NAME.yaml, or see `quarterdeck tools import`."
Name = Annotated[str, typer.Argument(metavar="TOOL", help="Its name in the fleet folder.")]


@command(app, "list", "tools list --quarantined")
def list_tools(
    given: Given,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Only those that cannot be used as they are.")
    ] = False,
) -> None:
    """List the tools in force, with the state of each."""
    from quarterdeck.cli.client import ask

    page = ask(given, lambda api: api.page("/v1/tools", ALL))
    if quarantined:
        page["items"] = [t for t in page["items"] if t["state"] not in ("ready", "pinned")]
    if given.json:
        render.print_json(page)
        return
    rows = [
        (t["name"], t["effect"], t["server"] or t["backend"], t["state"], ", ".join(t["agents"]))
        for t in page["items"]
    ]
    empty = "No tool is in quarantine." if quarantined else NO_TOOLS
    render.table(("tool", "effect", "at", "state", "agents"), rows, empty=empty)


@command(app, "show", "tools show cancel_order")
def show(given: Given, name: Name) -> None:
    """Show one tool: its state, what changed in its definition, what to look at."""
    shown = _shown(given, name)
    if given.json:
        render.print_json(shown)
        return
    since = render.when(shown["since"]) if shown["since"] else ""
    render.fields(
        {
            "tool": shown["name"],
            "effect": shown["effect"],
            "carried out by": _place(shown),
            "state": f"{shown['state']}: {shown['because']}",
            "since": since,
            "offered": shown["offered"],
            "granted": ", ".join(shown["granted"]),
            "agents": ", ".join(shown["agents"]) or "none",
        }
    )
    for release in shown["released"]:
        render.say(f"released {release['hash']} by {release['by']}, {render.when(release['at'])}")
    _say_changes(shown)
    _say_next(shown)


@command(app, "diff", "tools diff cancel_order")
def diff(given: Given, name: Name) -> None:
    """Show what changed between the granted definition and the offered one.

    Characters that nobody sees are written out. Exits with 1 where the two differ.
    """
    shown = _shown(given, name)
    if given.json:
        render.print_json({"name": name, "changes": shown["changes"], "signs": shown["signs"]})
    else:
        if not shown["changes"]:
            render.say(f"{name}: {shown['because']}.")
        _say_changes(shown)
        _say_next(shown)
    if shown["changes"]:
        raise typer.Exit(1)


@command(app, "release", "tools release cancel_order --hash sha256:9f86…")
def release(
    given: Given,
    name: Name,
    hash_: Annotated[
        str,
        typer.Option(
            "--hash", help="The hash of the definition you have looked at.", metavar="HASH"
        ),
    ],
) -> None:
    """Let one definition out of quarantine: exactly the one you have looked at.

    Only an owner may; it is recorded in the ledger. If the server offers another one by now,
    nothing is released.
    """
    from quarterdeck.cli.client import ask, part

    path = f"/v1/tools/{part(name)}/release"
    done = ask(given, lambda api: api.post(path, {"hash": hash_}))
    if given.json:
        render.print_json(done)
    else:
        render.say(f"Released {name}: it is {done['state']} now.")
        render.say(f"To keep it in the fleet folder, write `pin: {hash_}` in tools/{name}.yaml.")


def _shown(given: Given, name: str) -> dict[str, Any]:
    from quarterdeck.cli.client import ask, part

    found: dict[str, Any] = ask(given, lambda api: api.get(f"/v1/tools/{part(name)}"))
    return found


def _place(shown: dict[str, Any]) -> str:
    if shown["backend"] == "mcp":
        return f"{shown['tool']} at server {shown['server']}"
    return f"server {shown['server']}" if shown["server"] else str(shown["backend"])


def _say_changes(shown: dict[str, Any]) -> None:
    if shown["changes"] and not shown["compared"]:
        render.say()
        render.say("The granted definition was never seen here; this is all that is offered:")
    for change in shown["changes"]:
        render.say()
        render.say(change["place"])
        for line in change["before"]:
            render.say(f"  - {line}")
        for line in change["after"]:
            render.say(f"  + {line}")
    for sign in shown["signs"]:
        render.say()
        quote = f": {sign['quote']}" if sign["quote"] else ""
        render.say(f"look at {sign['place']}: {sign['what']}{quote}")


def _say_next(shown: dict[str, Any]) -> None:
    if shown["offered"] and shown["state"] in ("drift", "new", "lookalike"):
        render.say()
        command_ = f"quarterdeck tools release {shown['name']} --hash {shown['offered']}"
        render.say(f"If this is as it should be, an owner releases it: {command_}")
