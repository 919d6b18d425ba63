"""`quarterdeck runs`: start, end, list, show."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.listings import Listing, SinceTime, UntilTime, moment_of, show_listing
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.cli.client import Api

app = typer.Typer(help="Runs: start, end, list, show.", no_args_is_help=True)
Run = Annotated[str, typer.Argument(metavar="RUN", help="Its id, from `runs list`.")]
Input = Annotated[
    str,
    typer.Option("--input", help="What the run is given: a file, a JSON object, or - for stdin."),
]


@command(app, "list", "runs list --agent triage --state failed --since 2026-11-01")
def list_runs(
    given: Given,
    *,
    search: Annotated[
        str | None,
        typer.Option(help="A run's id or its beginning, an action's id, or words of the run."),
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only runs of this agent.")] = None,
    team: Annotated[str | None, typer.Option(help="Only runs of this team.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only running, succeeded, failed, escalated or cancelled ones."),
    ] = None,
    having: Annotated[
        str | None,
        typer.Option(help="Only with an action that is failed, refused, held, in_doubt…"),
    ] = None,
    correlation: Annotated[str | None, typer.Option(help="Only with this reference.")] = None,
    since: SinceTime = None,
    until: UntilTime = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> None:
    """List runs, newest first; all filters must fit."""
    filters = {
        "q": search,
        "agent": agent,
        "team": team,
        "state": state,
        "having": having,
        "correlation": correlation,
        "since": moment_of(since),
        "until": moment_of(until),
    }
    empty = "No runs. Start one with: quarterdeck runs start AGENT --input '{}'"
    columns = ("run", "agent", "state", "started", ">actions", ">refused", ">USD", "because")
    listing = Listing(path="/v1/runs", filters=filters, limit=limit, columns=columns, empty=empty)
    show_listing(given, listing, _row)


def _row(run: dict[str, Any]) -> tuple[Any, ...]:
    return (
        run["id"],
        run["agent"],
        run["state"],
        render.when(run["started_at"]),
        run["actions"],
        run["refused"],
        run["cost_usd"],
        run["because"],
    )


@command(app, "show", "runs show run_01k0…")
def show(given: Given, run: Run) -> None:
    """Show one run: its end, cost, input, result."""
    from quarterdeck.cli.client import ask, part

    shown = ask(given, lambda api: api.get(f"/v1/runs/{part(run)}"))
    if given.json:
        render.print_json(shown)
        return
    render.fields(
        {
            "run": shown["id"],
            "agent": shown["agent"],
            "revision": shown["revision"],
            "state": shown["state"],
            "because": shown["because"],
            "started": f"{render.when(shown['started_at'])} by {shown['started_by']}",
            "ended": render.when(shown["ended_at"]) or "not yet",
            "deadline": render.when(shown["deadline"]),
            "labels": ", ".join(shown["labels"]) or "none",
            "reference": shown["correlation"],
            "actions": f"{shown['actions']} ({shown['refused']} refused, {shown['open']} open)",
            "cost": render.money(shown["cost_usd"]),
            "input": render.compact(shown["input"]),
            "result": "none" if shown["result"] is None else render.compact(shown["result"]),
        }
    )
    if shown["actions"]:
        render.say(f"\nIts actions: quarterdeck actions list {shown['id']}")


@command(app, "start", """runs start triage --input '{"text": "my card is lost"}'""")
def start(
    given: Given,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Whose run it is.")],
    input: Input = "{}",
    external: Annotated[
        bool, typer.Option("--external", help="Print a credential for a program of your own.")
    ] = False,
) -> None:
    """Start a run and wait for its end.

    With --external, print the credential and the environment for a program of your own instead.
    The exit status is 1 if the run failed or was cancelled.
    """
    from quarterdeck.cli.client import ask

    body = {"agent": agent, "input": read_input(input)}
    if external:
        gateway = given.settings().gateway_url
        shown = ask(given, lambda api: start_external(api, body, gateway))
        _show_external(given, shown)
        return
    body |= {"kind": "runner", "wait": True}
    ended = ask(given, lambda api: api.post("/v1/runs", body, seconds=None))
    if given.json:
        render.print_json(ended)
    else:
        pairs = {name: ended[name] for name in ("id", "agent", "state", "because")}
        if ended["result"] is not None:
            pairs["result"] = render.compact(ended["result"])
        render.fields(pairs)
        render.say(f"\nWhat it did: quarterdeck actions list {ended['id']}")
    if ended["state"] in ("failed", "cancelled"):
        raise typer.Exit(1)


@command(app, "end", "runs end run_01k0… --state succeeded --because 'answered'")
def end(
    given: Given,
    run: Run,
    state: Annotated[
        str, typer.Option(help="succeeded, failed, escalated or cancelled.")
    ] = "succeeded",
    because: Annotated[str, typer.Option(help="A sentence that says why.")] = "",
) -> None:
    """End a run; its credential dies with it."""
    from quarterdeck.cli.client import ask, part

    body = {"state": state, "because": because}
    ask(given, lambda api: api.post(f"/v1/runs/{part(run)}/end", body))
    if given.json:
        render.print_json({"id": run, "state": state})
    else:
        render.say(f"Ended {run}: {state}.")


def read_input(text: str) -> Any:
    """The object a run is given: from a file, from standard input, or written out."""
    import json

    from quarterdeck.domain.errors import Invalid

    try:
        if text == "-":
            read = sys.stdin.read()
        else:
            read = text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8")
        value = json.loads(read)
    except OSError as error:
        raise Invalid(
            f"cannot read the input `{text}`: {error.strerror}",
            hint="name a file, write a JSON object, or use - for standard input",
        ) from error
    except ValueError as error:
        raise Invalid(
            f"the input is not JSON: {error}", hint='write an object: {"text": "…"}'
        ) from error
    if not isinstance(value, dict):
        raise Invalid("the input is not a JSON object", hint='write an object: {"text": "…"}')
    return value


async def start_external(api: "Api", body: dict[str, Any], gateway: str | None) -> dict[str, Any]:
    """Start a run for a program of the caller's own: its credential, and what to export.

    `gateway` is where model calls go, if not to the server the command talks to.
    """
    from quarterdeck.cli.client import server_of

    url = server_of(api)
    started = await api.post("/v1/runs", {**body, "kind": "external"})
    exported = environment(url, gateway or url, started["id"], started["credential"])
    return {**started, "environment": exported}


def environment(url: str, gateway: str, run: str, credential: str) -> dict[str, str]:
    """What a program needs in its environment to work under a run."""
    root = gateway.rstrip("/")
    return {
        "OPENAI_BASE_URL": f"{root}/openai/v1",
        "OPENAI_API_KEY": credential,
        "ANTHROPIC_BASE_URL": f"{root}/anthropic",
        "ANTHROPIC_API_KEY": credential,
        "GOOGLE_GEMINI_BASE_URL": f"{root}/gemini",
        "GEMINI_API_KEY": credential,
        "AZURE_OPENAI_ENDPOINT": f"{root}/azure",
        "AZURE_OPENAI_API_KEY": credential,
        "QUARTERDECK_MCP_URL": f"{root}/mcp",
        "QUARTERDECK_URL": url,
        "QUARTERDECK_RUN": run,
        "QUARTERDECK_CREDENTIAL": credential,
    }


def _show_external(given: Given, shown: dict[str, Any]) -> None:
    import shlex

    if given.json:
        render.print_json(shown)
        return
    render.warn(f"Run {shown['id']} of {shown['agent']} has started. Export this in your program's")
    render.warn("shell, or run this command in `eval $(…)`:\n")
    for name, value in shown["environment"].items():
        render.say(f"export {name}={shlex.quote(value)}")
    render.warn(f"\nWhen it is done: quarterdeck runs end {shown['id']} --state succeeded")
