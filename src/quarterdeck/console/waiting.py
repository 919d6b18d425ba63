"""Lists of what people decide about: what waits for them, or everything there ever was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from quarterdeck.console.plain import Moment
from quarterdeck.console.views import Badge, Choice
from quarterdeck.domain.limits import PAGE_ROWS_DEFAULT

#: One more than a page shows says that there are older ones.
ROWS_ASKED: Final = PAGE_ROWS_DEFAULT + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRow:
    """Something for people as one line of a list."""

    id: str
    href: str
    state: Badge
    target: str
    summary: str
    agent: str
    agent_href: str
    run_href: str
    at: Moment
    decided: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPage:
    """A list of what people decide about."""

    title: str
    tabs: tuple[Choice, ...]
    rows: tuple[AskedRow, ...]
    shown: tuple[Choice, ...]
    empty: str
    older: str
    newest: str
    section: str = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which part of a list somebody looks at; `waiting` is the state of what waits for them."""

    path: str
    waiting: str
    everything: bool
    before: str

    @classmethod
    def of(cls, request: Request, path: str, waiting: str) -> "Wanted":
        """What a request asks for; where nothing of a list can wait, always everything."""
        asked = request.query_params
        return cls(
            path=path,
            waiting=waiting,
            everything=not waiting or asked.get("show") == "all",
            before=asked.get("before", ""),
        )

    @property
    def states(self) -> tuple[str, ...]:
        """The states to look for; none is any."""
        return () if self.everything else (self.waiting,)


def waiting_page(
    title: str, wanted: Wanted, found: Sequence[Mapping[str, Any]], rows: Sequence[AskedRow]
) -> WaitingPage:
    """A list with its neighbours: `rows` are the lines of what was `found`."""
    prefix = f"/console{wanted.path}"
    show = "show=all&" if wanted.everything else ""
    older = found[PAGE_ROWS_DEFAULT - 1]["id"] if len(found) > PAGE_ROWS_DEFAULT else ""
    return WaitingPage(
        title=title,
        tabs=tuple(
            Choice(value=f"/console{path}", text=text, chosen=path == wanted.path)
            for path, text in (
                ("/approvals", "Approvals"),
                ("/suggestions", "Suggestions"),
                ("/plans", "Plans"),
            )
        ),
        rows=tuple(rows[:PAGE_ROWS_DEFAULT]),
        shown=(
            Choice(value=prefix, text=wanted.waiting, chosen=not wanted.everything),
            Choice(value=f"{prefix}?show=all", text="all", chosen=wanted.everything),
        ),
        empty="Nothing was asked yet." if wanted.everything else "Nothing waits for you.",
        older=f"{prefix}?{show}before={older}" if older else "",
        newest=f"{prefix}{'?show=all' if wanted.everything else ''}" if wanted.before else "",
    )
