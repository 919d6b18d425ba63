"""What every command takes: where the server is, who asks, and how to print.

These flags are accepted before the command and after it; the later one counts.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

if TYPE_CHECKING:  # `--help` reads no settings
    from quarterdeck.settings import Settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
PANEL: Final = "For every command"

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="The server to talk to (or QUARTERDECK_URL).", rich_help_panel=PANEL
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", help="Your token for it (or QUARTERDECK_TOKEN).", rich_help_panel=PANEL
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="The data folder (or QUARTERDECK_DATA; default .quarterdeck).",
        rich_help_panel=PANEL,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs.", rich_help_panel=PANEL)
]


@dataclass(slots=True, kw_only=True)
class Given:
    """The flags of this call."""

    url: str | None = None
    token: str | None = None
    data: Path | None = None
    json: bool = False

    def take(self, *, url: str | None, token: str | None, data: Path | None, json: bool) -> "Given":
        """Flags given once more; what is left out stays as it was."""
        self.url = url if url is not None else self.url
        self.token = token if token is not None else self.token
        self.data = data if data is not None else self.data
        self.json = json or self.json
        return self

    def settings(self) -> "Settings":
        """Settings of the environment, with these flags on top."""
        from quarterdeck import settings

        read = settings.read()
        if self.data is not None:
            # Naming a data folder means that folder, whatever server the environment names.
            read = replace(read, folder=self.data, url=None)
        if self.url is not None:
            read = replace(read, url=self.url)
        return replace(read, token=self.token or read.token)


def command(
    app: typer.Typer, name: str, example: str, **more: Any
) -> Callable[[CommandT], CommandT]:
    """Register a command: its first parameter is the flags given; its help ends with an example."""

    def register(function: CommandT) -> CommandT:
        own = list(inspect.signature(function).parameters.values())[1:]

        @wraps(function)
        def called(ctx: typer.Context, **options: Any) -> Any:
            flags = {flag: options.pop(flag) for flag in _FLAGS}
            return function(ctx.obj.take(**flags), **options)

        context = inspect.Parameter(
            "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )
        flags = [
            inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=absent)
            for flag, (kind, absent) in _FLAGS.items()
        ]
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        parameters = [context, *own, *flags]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by typer
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, epilog=f"\b\nExample:  quarterdeck {example}", **more)(called)
        return function

    return register


_FLAGS: Final[dict[str, tuple[Any, Any]]] = {
    "url": (Url, None),
    "token": (Token, None),
    "data": (DataFolder, None),
    "json": (Json, False),
}
