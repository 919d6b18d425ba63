"""Page models that several pages share, and where each page is.

Templates do no arithmetic and decide nothing. What is not known is never shown as zero: an open
action's cost is `held` or `not yet known`. Every string from an agent or from content passes
`plain.line` or `plain.quote` before it gets here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote as escaped
from urllib.parse import urlencode

from quarterdeck.console.plain import Moment, Quote, amount, duration, line, moment, quote
from quarterdeck.console.session import PREFIX
from quarterdeck.domain.limits import QUOTE_CHARACTERS_MAX

Tone: TypeAlias = Literal["good", "bad", "warn", "busy", "calm"]
RUN_STATES: Final[dict[str, Tone]] = {
    "running": "busy",
    "succeeded": "good",
    "failed": "bad",
    "escalated": "warn",
    "cancelled": "calm",
}
#: What is out of the ordinary in a run: the word for it, and its tone.
NOTABLE: Final[dict[str, tuple[str, Tone]]] = {
    "in_doubt": ("in doubt", "warn"),
    "held": ("held", "warn"),
    "refused": ("refused", "bad"),
    "failed": ("failed", "bad"),
    "suggested": ("suggested", "calm"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A word with a tone; the word alone says it all."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something costs, or why that is not known; `note` qualifies it."""

    text: str
    exact: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Words that lead somewhere, with a tone."""

    text: str
    href: str
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An option of a filter."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as one line of a list."""

    id: str
    href: str
    state: Badge
    agent: str
    agent_href: str
    started: Moment
    duration: str
    duration_note: str
    actions: str
    cost: Cost
    notable: tuple[Link, ...]
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """How much of a cap is used; `part` of a thousand."""

    name: str
    used: str
    used_exact: str
    cap: str
    held: str
    part: int
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePage:
    """A page that only says something: an error, a sign-in that is missing."""

    title: str
    message: str
    hint: str
    commands: tuple[str, ...] = ()
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """The button behind a one-time link."""

    caller: str
    token: str
    section: str = ""


def run_href(run: str, **asked: str) -> str:
    """Where a run's page is."""
    return _href(f"/runs/{escaped(run, safe='')}", asked)


def action_href(action: str, **asked: str) -> str:
    """Where an action's page is."""
    return _href(f"/actions/{escaped(action, safe='')}", asked)


def approval_href(approval: str) -> str:
    """Where an approval's card is."""
    return _href(f"/approvals/{escaped(approval, safe='')}", {})


def tool_href(tool: str) -> str:
    """Where a tool's page is."""
    return _href(f"/tools/{escaped(tool, safe='')}", {})


def server_href(server: str) -> str:
    """Where a server's page is."""
    return _href(f"/servers/{escaped(server, safe='')}", {})


def suggestion_href(suggestion: str) -> str:
    """Where a suggestion's card is."""
    return _href(f"/suggestions/{escaped(suggestion, safe='')}", {})


def plan_href(plan: str) -> str:
    """Where a plan's page is."""
    return _href(f"/plans/{escaped(plan, safe='')}", {})


def agent_href(agent: str) -> str:
    """Where an agent's page is."""
    return _href(f"/agents/{escaped(agent, safe='')}", {})


def runs_href(filters: Mapping[str, str]) -> str:
    """Where a list of runs is."""
    return _href("/runs", filters)


def actions_href(filters: Mapping[str, str]) -> str:
    """Where a list of actions is."""
    return _href("/actions", filters)


def _href(path: str, asked: Mapping[str, str]) -> str:
    said = {name: value for name, value in asked.items() if value}
    return f"{PREFIX}{path}?{urlencode(said)}" if said else f"{PREFIX}{path}"


def badge(word: str, tones: Mapping[str, Tone]) -> Badge:
    """A word of ours as a badge; one without a tone of its own is calm."""
    return Badge(text=word.replace("_", " "), tone=tones.get(word, "calm"))


def command(*words: str) -> str:
    """A command people can type."""
    return " ".join(("quarterdeck", *words))


def whole(value: Any, see: str) -> Quote:
    """A quote of the usual length; `see` is the command that shows it all."""
    return quote(value, characters_max=QUOTE_CHARACTERS_MAX, command=see)


def choices(words: Sequence[tuple[str, str]], chosen: str) -> tuple[Choice, ...]:
    """Options of a filter from pairs of value and text."""
    return tuple(Choice(value=v, text=t, chosen=v == chosen) for v, t in words)


def run_row(run: Mapping[str, Any], now: datetime) -> RunRow:
    """A run with its totals as one line."""
    ended = run["ended_at"]
    until = int(now.timestamp() * 1_000_000) if ended is None else ended
    return RunRow(
        id=run["id"],
        href=run_href(run["id"]),
        state=badge(run["state"], RUN_STATES),
        agent=line(run["agent"]),
        agent_href=agent_href(run["agent"]),
        started=moment(run["started_at"], now),
        duration=duration(run["started_at"], until),
        duration_note="so far" if ended is None else "",
        actions=f"{run['actions']:,}",
        cost=cost_of_run(run),
        notable=notable_of(run),
        because=line(run["because"] or "", 160),
    )


def notable_of(run: Mapping[str, Any]) -> tuple[Link, ...]:
    """What is out of the ordinary in a run, each leading to those actions."""
    return tuple(
        Link(text=f"{run[name]:,} {word}", href=run_href(run["id"], show=name), tone=tone)
        for name, (word, tone) in NOTABLE.items()
        if run[name]
    )


def cost_of_run(run: Mapping[str, Any]) -> Cost:
    """What a run was charged; not zero where that is not yet known."""
    charged, still_open = run["cost_nanousd"], run["open"]
    if still_open and not charged:
        return Cost(text="not yet known", exact="", note="")
    shown = amount(charged)
    unsettled = still_open or run["state"] == "running"
    return Cost(text=shown.text, exact=shown.exact, note="so far" if unsettled else "")


def money(nanousd: int) -> Cost:
    """A charge that is known."""
    shown = amount(nanousd)
    return Cost(text=shown.text, exact=shown.exact, note="")


def bars(values: Sequence[int], *, height: int, width: int, gap: int = 1) -> tuple[Any, ...]:
    """Values as the bars of a small plot: x, y, width, height; what is not zero shows."""
    most = max(values, default=0)
    drawn = []
    for place, value in enumerate(values):
        tall = 0 if not value or not most else max(1, round(value / most * height))
        drawn.append((place * (width + gap), height - tall, width, tall))
    return tuple(drawn)
