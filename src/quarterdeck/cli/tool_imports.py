"""`quarterdeck tools import`: contracts made of what others wrote about their tools."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.fleet.openapi_import import Imported

app = typer.Typer(
    help="Import tools: write contracts from what a server says of itself.", no_args_is_help=True
)
Into = Annotated[Path, typer.Option("--into", metavar="DIR", help="The fleet folder.")]
ServerName = Annotated[
    str | None, typer.Option("--server", metavar="NAME", help="The server's name in the folder.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


@command(app, "openapi", "tools import openapi shop.json --into my-fleet --operation cancelOrder")
def import_openapi(
    given: Given,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="OpenAPI 3.0 or 3.1.")],
    server: ServerName = None,
    api_url: Annotated[
        str | None,
        typer.Option("--api-url", metavar="URL", help="Where the API is, if not as FILE says."),
    ] = None,
    into: Into = Path(),
    operation: Annotated[
        list[str] | None,
        typer.Option("--operation", metavar="ID", help="Only this operation; can be repeated."),
    ] = None,
    force: Force = False,
) -> None:
    """Write a server and the contracts of its operations from an OpenAPI file.

    Nothing is fetched, and nothing is put in force. Each contract says in comments what a person
    must decide; then grant what an agent needs, `quarterdeck check` and `quarterdeck apply`.
    """
    from quarterdeck.fleet.openapi_import import Wanted, imported

    wanted = Wanted(
        server=server,
        url=api_url,
        operations=tuple(operation or ()),
        taken=lambda name: _others(into, name),
    )
    made = imported(_content(file), wanted)
    write(into, made.files, force=force)
    _say(given, made)


@command(app, "mcp", "tools import mcp https://shop.example.com/mcp --into my-fleet --server shop")
def import_mcp(
    given: Given,
    where: Annotated[
        list[str],
        typer.Argument(
            metavar="URL|COMMAND…", help="The endpoint, or a program and its arguments."
        ),
    ],
    server: ServerName = None,
    secret: Annotated[
        str | None,
        typer.Option(
            "--secret",
            metavar="NAME",
            help="The secret it is shown, as in QUARTERDECK_SECRET_NAME here.",
        ),
    ] = None,
    into: Into = Path(),
    tool: Annotated[
        list[str] | None,
        typer.Option("--tool", metavar="TOOL", help="Only this tool; can be repeated."),
    ] = None,
    force: Force = False,
) -> None:
    """Write an MCP server and the contracts of its tools, pinned as they are now.

    The server is asked from here, and a command runs here; nothing is put in force. Contracts take
    the server's word for nothing: each is a write until a person says otherwise, and says in
    comments what to decide. Put `--` before a command that has options of its own; a path under
    `servers/` is a file of the folder.
    """
    import asyncio

    from quarterdeck.domain.errors import Invalid
    from quarterdeck.domain.ids import ServerName as Named
    from quarterdeck.domain.servers import Server
    from quarterdeck.fleet.mcp_import import imported, server_name
    from quarterdeck.fleet.openapi_import import Wanted
    from quarterdeck.upstream.tools.mcp_introduction import introduced

    is_url = len(where) == 1 and where[0].startswith(("https://", "http://"))
    value = None if secret is None else given.settings().secrets.get(secret.lower())
    if secret is not None and value is None:
        hint = f"run it with QUARTERDECK_SECRET_{secret.upper()} set; it is written nowhere"
        raise Invalid(f"the secret `{secret}` is not known here", hint=hint)
    asked = Server(
        name=Named(server or server_name(where[0])),
        protocol="mcp",
        url=where[0] if is_url else None,
        command=() if is_url else tuple(where),
        secret=secret,
        files={} if is_url else _files(into, where),
    )
    listed = asyncio.run(introduced(asked, value))
    wanted = Wanted(operations=tuple(tool or ()), taken=lambda name: _others(into, name))
    made = imported(asked, listed, wanted)
    write(into, made.files, force=force)
    _say(given, made)


def _say(given: Given, made: "Imported") -> None:
    if given.json:
        render.print_json(
            {
                "server": made.server,
                "files": list(made.files),
                "skipped": [{"id": s.id, "because": s.because} for s in made.skipped],
            }
        )
        return
    for path in made.files:
        render.say(path)
    for skipped in made.skipped:
        render.warn(f"left out: {skipped.id}: {skipped.because}")
    tools = len(made.files) - 1
    render.say(f"\n{tools} tools. Read them, answer `# decide:`, grant what an agent needs.")


def write(into: Path, files: Mapping[str, str], *, force: bool) -> None:
    """Write files of a fleet folder: none of them if one is there already, unless forced."""
    from quarterdeck.domain.errors import Conflict, Unavailable

    there = [path for path in files if (into / path).exists()]
    if there and not force:
        raise Conflict(
            f"`{there[0]}` is there already{f' and {len(there) - 1} more' if there[1:] else ''}",
            hint="use --force to overwrite, --into another folder, or --server another name",
        )
    for path, text in files.items():
        target = into / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Unavailable(
                f"`{target}` cannot be written: {error.strerror}", hint="check the folder"
            ) from error


def _others(into: Path, server: str) -> tuple[str, ...]:
    """The names of tools that do not live at this server: an operation of such a name gets another.

    So importing again can overwrite what was imported before, and nothing else.
    """
    return tuple(
        path.stem
        for path in sorted((into / "tools").glob("*.yaml"))
        if f"\n  server: {server}\n" not in path.read_text(encoding="utf-8", errors="replace")
    )


def _files(into: Path, command_: list[str]) -> dict[str, bytes]:
    """The files of the folder's `servers/` that a command runs, if it runs any."""
    if not any(word.startswith("servers/") for word in command_):
        return {}
    return {
        str(path.relative_to(into)): path.read_bytes()
        for path in sorted((into / "servers").rglob("*"))
        if path.is_file() and path.suffix != ".yaml"
    }


def _content(file: Path) -> bytes:
    from quarterdeck.domain.errors import Unavailable
    from quarterdeck.domain.limits import OPENAPI_JSON_BYTES_MAX

    try:
        with file.open("rb") as reading:
            return reading.read(OPENAPI_JSON_BYTES_MAX + 1)
    except OSError as error:
        hint = "name a file; download the document first where it is at a URL"
        raise Unavailable(f"`{file}` cannot be read: {error.strerror}", hint=hint) from error
