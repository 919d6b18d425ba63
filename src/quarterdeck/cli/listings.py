"""Lists on the command line: filters that several have, and pages that are printed as they come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given

if TYPE_CHECKING:
    from quarterdeck.cli.client import Api

SinceTime = Annotated[
    str | None, typer.Option("--since", help="From then on: 2026-11-21, or with a time.")
]
UntilTime = Annotated[
    str | None, typer.Option("--until", help="Before then: 2026-11-22, or with a time.")
]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What to list, and how to print it."""

    path: str
    filters: Mapping[str, str | None]
    limit: int
    columns: Sequence[str]
    empty: str


def moment_of(text: str | None) -> str | None:
    """A time people write, in this machine's zone unless it names one, as the API reads it."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise typer.BadParameter(
            f"`{text}` is not a time: write 2026-11-21 or 2026-11-21T09:30"
        ) from error


def show_listing(
    given: Given, listing: Listing, row: Callable[[dict[str, Any]], Sequence[object]]
) -> None:
    """Print a list page by page: however long it is, one page of it is in memory."""
    from quarterdeck.cli.client import ask

    async def showing(api: "Api") -> str | None:
        printing = render.Items() if given.json else render.Rows(listing.columns, listing.empty)
        following: str | None = None
        async for page in api.pages(listing.path, listing.limit, **listing.filters):
            items = page["items"]
            printing.add(items if given.json else [row(item) for item in items])
            following = page["next"]
        printing.end(following)
        return following

    if ask(given, showing) and not given.json:
        render.warn(f"There are more; use --limit {listing.limit * 5}, or a filter (see --help).")
