"""`quarterdeck backup` and `restore`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.domain.people import Caller
    from quarterdeck.services.backups import Restored
    from quarterdeck.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "backup", "backup /backups/friday.db")(backup)
    command(app, "restore", "restore /backups/friday.db")(restore)


def backup(
    given: Given,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A new file; with --url, on the server's machine."),
    ],
) -> None:
    """Copy the database while it works.

    The master key is not in it: keep that apart.
    """
    from quarterdeck.cli.client import ask

    body = {"file": str(file if file.is_absolute() else Path.cwd() / file)}
    made = ask(given, lambda api: api.post("/v1/backups", body, seconds=None))
    if given.json:
        render.print_json(made)
        return
    render.say(
        f"Wrote {made['file']}: {made['actions']} actions, {made['leaves']} leaves of the ledger."
    )
    render.say("Keep it with the manifest beside it, and the master key apart from both.")


def restore(
    given: Given,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A backup, with its manifest beside it.")
    ] = None,
    declare: Annotated[
        bool, typer.Option("--declare", help="On PostgreSQL: say that pg_restore has run.")
    ] = False,
) -> None:
    """Put a backup in place of the database.

    What was outstanding when it was made is void, and the ledger says so. No server may be running
    on the data folder. The database that is replaced is kept. A PostgreSQL database is restored
    with its own tools; --declare does the rest, before any other process is started.
    """
    import asyncio

    from quarterdeck.cli.lock import held

    if declare == (file is not None):
        raise typer.BadParameter("name a backup, or say --declare after pg_restore")
    settings = given.settings()
    with held(settings.folder):
        restored = asyncio.run(_declare(settings) if file is None else _restore(settings, file))
    kept = None if restored.kept is None else str(restored.kept)
    in_doubt = list(restored.in_doubt)
    if given.json:
        shown = {"incarnation": restored.incarnation, "in_doubt": in_doubt, "kept": kept}
        render.print_json({**shown, "head": restored.head})
        return
    what = "Declared what pg_restore put in place" if file is None else f"Restored {file}"
    render.say(f"{what}. Run credentials and clearances from before are void.")
    if kept is not None:
        render.say(f"The database it replaced is kept: {kept}")
    if in_doubt:
        render.say(f"In doubt: {len(in_doubt)} actions; see: quarterdeck actions in-doubt")


async def _restore(settings: "Settings", file: Path) -> "Restored":
    from quarterdeck.services import backups
    from quarterdeck.sources import SystemClock, SystemDice, TimeSortedIds

    return await backups.restore(
        _owner(), file, settings, clock=SystemClock(), dice=SystemDice(), ids=TimeSortedIds()
    )


async def _declare(settings: "Settings") -> "Restored":
    from quarterdeck import assembly
    from quarterdeck.domain.errors import Invalid
    from quarterdeck.sources import TimeSortedIds

    if settings.database_url is None:
        raise Invalid(
            "on SQLite a restore declares itself",
            hint="run: quarterdeck restore FILE, nothing more",
        )
    async with assembly.house(settings, role="command") as built:
        return await built.services.backups.declare_restored(_owner(), ids=TimeSortedIds())


def _owner() -> "Caller":
    import getpass

    from quarterdeck.domain.people import Caller

    return Caller(id=f"local:{getpass.getuser()}", role="owner")
