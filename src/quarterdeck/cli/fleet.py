"""`quarterdeck init`, `check`, `apply`: the fleet folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.cli.client import Api
    from quarterdeck.domain.fleets import Fleet
    from quarterdeck.fleet.problems import FleetInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A folder in which no problem was found."""

    fleet: "Fleet"
    files: dict[str, bytes]

    def body(self) -> dict[str, Any]:
        """What `apply` sends."""
        import base64

        return {"files": {path: base64.b64encode(b).decode() for path, b in self.files.items()}}


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The fleet folder.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "init", "init my-fleet")(init)
    command(app, "check", "check my-fleet")(check)
    command(app, "apply", "apply my-fleet --dry-run")(apply)


def init(
    given: Given,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or an empty folder.")],
) -> None:
    """Write a small fleet folder to start from."""
    from quarterdeck.fleet import template

    written = [str(path) for path in template.write(folder)]
    if given.json:
        render.print_json({"folder": str(folder), "files": written})
        return
    for path in written:
        render.say(path)
    render.say(f"\nLook around, then: quarterdeck up --fleet {folder}")


def check(given: Given, folder: Folder = Path()) -> None:
    """Check a fleet folder.

    Needs no server. Each problem is named by file, line and field; the exit status is then 1.
    """
    fleet = checked(given, folder).fleet
    counted: dict[str, list[str]] = {
        "agents": [*sorted(fleet.agents)],
        "tools": [*sorted(fleet.tools)],
        "vendors": [*sorted(fleet.vendors)],
    }
    warnings = _warnings(fleet)
    if given.json:
        said = {"ok": True, "name": fleet.name, "version": fleet.version, **counted}
        render.print_json({**said, "problems": [], "warnings": warnings})
        return
    for warning in warnings:
        render.warn(f"warning: {warning}")
    words = ", ".join(_counted(len(names), noun) for noun, names in counted.items())
    render.say(f"{fleet.name} is in order: {words}.")


def _warnings(fleet: "Fleet") -> list[str]:
    """What is no problem and still worth a look: cards that nobody would read."""
    from quarterdeck.domain.cards import card_of

    cards = [(name, card_of(agent, fleet)) for name, agent in sorted(fleet.agents.items())]
    return [f"agents/{name}.yaml: {card.warning}" for name, card in cards if card.warning]


def apply(
    given: Given,
    folder: Folder = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would change.")
    ] = False,
    expect: Annotated[
        str | None,
        typer.Option(help="Only if this version is in force: nobody was faster than you."),
    ] = None,
) -> None:
    """Put a fleet folder in force.

    Prints what changes; the same folder again changes nothing. With --expect it changes nothing
    either if another version is in force than the one you looked at, and says who put it there.
    """
    from quarterdeck.cli.client import ask

    body = checked(given, folder).body()
    if_match = "*" if expect is None else f'"{expect}"'

    async def applying(api: "Api") -> Any:
        before = await _version_in_force(api) if dry_run else None
        said = await api.post("/v1/fleet", body, if_match=if_match, dry_run=dry_run or None)
        return before, said

    before, applied = ask(given, applying)
    if given.json:
        render.print_json(applied)
        return
    for change in applied["changes"]:
        details = "; ".join(change["details"])
        line = f"{change['noun']} {change['name']} {change['kind']}"
        render.say(f"{line}: {details}" if details else line)
    if not applied["changes"]:
        render.say(f"{applied['name']} is in force already; nothing changes.")
    elif dry_run:
        expecting = f" --expect {before}" if before else ""
        again = f"quarterdeck apply {folder}{expecting}"
        render.say(f"\nNothing was changed. To put it in force: {again}")
    else:
        render.say(f"\n{applied['name']} is in force, version {applied['version'][:12]}.")


async def _version_in_force(api: "Api") -> str | None:
    from quarterdeck.cli.failures import ApiFailure

    try:
        fleet = await api.get("/v1/fleet")
    except ApiFailure as failure:
        if failure.kind != "not_found":
            raise
        return None
    version: str = fleet["version"]
    return version


def checked(given: Given, folder: Path) -> Checked:
    """A folder's fleet and files; its problems are printed, and end the command with status 1."""
    from quarterdeck.fleet.load import load_to_apply, read_folder
    from quarterdeck.fleet.problems import FleetInvalid

    try:
        files = read_folder(folder)
        return Checked(fleet=load_to_apply(files), files=files)
    except FleetInvalid as error:
        _show_problems(given, error)
        raise typer.Exit(1) from error


def _show_problems(given: Given, error: "FleetInvalid") -> None:
    from dataclasses import asdict

    if given.json:
        problems: list[dict[str, Any]] = [asdict(problem) for problem in error.problems]
        render.print_json({"ok": False, "problems": problems})
        return
    for problem in error.problems:
        where = f"{problem.file}:{problem.line}" if problem.line else problem.file
        parts = [part for part in (where, problem.field, problem.message) if part]
        line = ": ".join(parts)
        render.say(f"{line} — {problem.hint}" if problem.hint else line)
    count = len(error.problems)
    render.warn(f"\n{count} problem{'' if count == 1 else 's'}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun if count != 1 else noun.removesuffix('s')}"
