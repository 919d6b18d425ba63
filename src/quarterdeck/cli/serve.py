"""`quarterdeck up` and `serve`: the processes that stay."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.assembly import House
    from quarterdeck.cli.client import Api
    from quarterdeck.settings import Settings

AGENTS_NAMED_MAX = 100  # when a server greets
ROLES = ("gateway", "worker", "console")
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="The port (default 7700; 0 takes any free one)."),
]
Host = Annotated[str | None, typer.Option(help="The address to listen on (default 127.0.0.1).")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "up", "up --fleet my-fleet --port 7700")(up)
    command(app, "serve", "serve --role gateway --port 7701")(serve)


def up(
    given: Given,
    fleet: Annotated[
        Path | None, typer.Option(help="A fleet folder to put in force first.")
    ] = None,
    port: Port = None,
    host: Host = None,
) -> None:
    """Run everything in one process.

    Gateways, API, console and loops; at Ctrl-C or SIGTERM what is under way may finish.
    """
    from quarterdeck.cli.fleet import checked

    # Not kept in a name here: the files of a large fleet would stay for as long as the server.
    _run(
        _up(
            given,
            None if fleet is None else checked(given, fleet).body(),
            _listening(given, port, host),
        )
    )


def serve(
    given: Given,
    role: Annotated[str, typer.Option(help="gateway, worker or console.")],
    port: Port = None,
    host: Host = None,
) -> None:
    """Run one process of many.

    They share a PostgreSQL database, named by QUARTERDECK_DATABASE_URL.
    """
    from quarterdeck.domain.errors import Invalid

    if role not in ROLES:
        raise typer.BadParameter(f"`{role}` is not a role: use {', '.join(ROLES)}")
    settings = _listening(given, port, host)
    if settings.database_url is None:
        raise Invalid(
            "many processes need a database that they share, and none is named",
            hint="set QUARTERDECK_DATABASE_URL=postgresql://…, or run all in one: quarterdeck up",
        )
    _run(_serve(given, settings, role))


def _listening(given: Given, port: int | None, host: str | None) -> "Settings":
    settings = given.settings()
    return replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )


def _run(main: Any) -> None:
    import asyncio

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def _up(given: Given, fleet: dict[str, Any] | None, settings: "Settings") -> None:
    import logging
    import os

    from quarterdeck import assembly
    from quarterdeck.cli.client import in_process
    from quarterdeck.cli.listening import bind, serving, url_of
    from quarterdeck.cli.local import log_to_stderr, looping
    from quarterdeck.cli.lock import Server, announce, held

    log_to_stderr(logging.INFO)
    with held(settings.folder), bind(settings.host, settings.port) as listening:
        url = url_of(listening)
        async with assembly.house(settings, role="all") as built, looping(built):
            app = assembly.application(built)
            async with in_process(app, built.local_token) as api:
                if fleet is not None:
                    await api.post("/v1/fleet", fleet, if_match="*")
                    fleet = None
                agents = await _agents(api)
            async with serving(app, listening, on_stop=lambda: _stop(built)) as server:
                announce(settings.folder, Server(url=url, token=built.local_token, pid=os.getpid()))
                _greet(given, built, url, agents)
                _warn_if_reachable(settings.host)
                await server


async def _agents(api: "Api") -> list[str]:
    """The names of the agents in force."""
    page = await api.page("/v1/agents", AGENTS_NAMED_MAX)
    more = ["…"] if page["next"] else []
    return [agent["name"] for agent in page["items"]] + more


def _greet(given: Given, built: "House", url: str, agents: list[str]) -> None:
    import os

    from quarterdeck import __version__
    from quarterdeck.domain.people import Caller

    owner = Caller(id=f"local:{built.local_user}", role="owner")
    link = built.sessions.one_time_link(url, owner)
    folder = str(built.settings.folder)
    if given.json:
        shown = {"url": url, "sign_in": link, "pid": os.getpid(), "data": folder, "agents": agents}
        render.print_json(shown)
        return
    render.say(f"Quarterdeck {__version__} is up at {url}\n")
    none_yet = (
        "none yet; in another terminal: quarterdeck init my-fleet && quarterdeck apply my-fleet"
    )
    render.fields(
        {
            "  agents": ", ".join(agents) or none_yet,
            "  console": link,
            "": "(signs you in once, within 15 minutes; for another: quarterdeck console)",
            "  data": folder,
            "  stop": "Ctrl-C",
        }
    )


def _warn_if_reachable(host: str) -> None:
    """Plain HTTP beyond this machine is somebody's decision, not an accident."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        render.warn(f"warning: listening on {host} without TLS: others can read what passes.")
        render.warn("hint: listen on 127.0.0.1, and put a proxy with TLS in front")


def _stop(built: "House") -> None:
    built.live.close()  # streams to open pages would hold the drain until its end
    render.warn("\nStopping: letting what is under way finish. Ctrl-C again stops at once.")


async def _serve(given: Given, settings: "Settings", role: str) -> None:
    import logging

    from quarterdeck import assembly
    from quarterdeck.cli.client import in_process
    from quarterdeck.cli.listening import bind, serving, url_of
    from quarterdeck.cli.local import log_to_stderr, looping

    log_to_stderr(logging.INFO)
    if role == "worker":
        async with assembly.house(settings, role=role) as built, looping(built):
            await _until_signal(given)
        return
    with bind(settings.host, settings.port) as listening:
        async with assembly.house(settings, role=role) as built, looping(built):
            app = assembly.application(built, role=role)
            async with serving(app, listening, on_stop=lambda: _stop(built)) as server:
                if role == "console":
                    async with in_process(app, built.local_token) as api:
                        agents = await _agents(api)
                    _greet(given, built, url_of(listening), agents)
                else:
                    _say_role(given, role, url_of(listening))
                await server


def _say_role(given: Given, role: str, url: str | None) -> None:
    if given.json:
        render.print_json({"role": role, "url": url})
    else:
        render.say(f"{role} is up{f' at {url}' if url else ''}. Stop it with Ctrl-C.")


async def _until_signal(given: Given) -> None:
    import asyncio

    from quarterdeck.cli.listening import on_signals

    over = asyncio.Event()
    with on_signals(over.set):
        _say_role(given, "worker", None)
        await over.wait()
