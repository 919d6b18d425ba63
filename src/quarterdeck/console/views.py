"""Page models: all a template shows, worked out. Templates do no arithmetic and decide nothing.

What is not known is never shown as zero: an open action's cost is `held` or `not yet known`.
Every string from an agent or from content passes `plain.line` or `plain.quote` here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote as escaped
from urllib.parse import urlencode

from quarterdeck.console.plain import Moment, Quote, quote
from quarterdeck.console.session import PREFIX

Tone: TypeAlias = Literal["good", "bad", "warn", "busy", "calm"]
RUN_STATES: Final[dict[str, Tone]] = {
    "running": "busy",
    "succeeded": "good",
    "failed": "bad",
    "escalated": "warn",
    "cancelled": "calm",
}
QUOTE_CHARACTERS_MAX: Final = 20_000


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
class Doubts:
    """How many actions of each run are in doubt; `whole` unless there were too many to count."""

    by_run: Mapping[str, int]
    whole: bool

    def of(self, run: Mapping[str, Any]) -> str:
        """The count for one run; empty for none."""
        counted, still_open = self.by_run.get(run["id"], 0), int(run["open"] or 0)
        if self.whole or counted == still_open:
            return str(counted) if counted else ""
        return f"{counted} to {still_open}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as one line of the list."""

    id: str
    href: str
    state: Badge
    agent: str
    started: Moment
    duration: str
    duration_note: str
    actions: str
    cost: Cost
    refused: str
    in_doubt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLink:
    """The way to a run."""

    id: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An option of a filter."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """The list of runs."""

    rows: tuple[RunRow, ...]
    agents: tuple[Choice, ...]
    states: tuple[Choice, ...]
    filtered: bool
    older: str
    newest: str
    first_agent: str
    doubt: str
    doubtful: tuple[RunLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that decided, and its sentence."""

    name: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """An action as one step of a run."""

    id: str
    href: str
    kind: str
    target: str
    verdict: Badge
    rules: tuple[Rule, ...]
    state: Badge
    proposed: Moment
    duration: str
    cost: Cost
    usage: str
    usage_source: str
    mark: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One run with its actions."""

    run: RunRow
    team: str
    revision: str
    started_by: str
    ended: Moment | None
    labels: tuple[str, ...]
    because: str
    correlation: str
    result: Quote | None
    given: Quote
    actions: tuple[ActionRow, ...]
    range: str
    later: str
    first: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a request."""

    heading: str
    body: Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPage:
    """One action with what it asked and what came back."""

    action: ActionRow
    run: str
    run_href: str
    agent: str
    team: str
    revision: str
    digest: str
    idempotency_key: str
    labels: tuple[str, ...]
    settled: Moment | None
    unsettled: bool
    in_doubt: bool
    price_version: str
    parts: tuple[Part, ...]
    parts_note: str
    rest: Quote | None
    response: Quote | None
    detail: Quote | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePage:
    """A page that only says something: an error, a sign-in that is missing."""

    title: str
    message: str
    hint: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """The button behind a one-time link."""

    caller: str
    token: str


def run_href(run: str) -> str:
    """Where a run's page is."""
    return f"{PREFIX}/runs/{escaped(run, safe='')}"


def action_href(action: str) -> str:
    """Where an action's page is."""
    return f"{PREFIX}/actions/{escaped(action, safe='')}"


def runs_href(filters: Mapping[str, str], before: str = "") -> str:
    """Where a page of the list of runs is."""
    asked = {**filters, **({"before": before} if before else {})}
    return f"{PREFIX}/?{urlencode(asked)}" if asked else f"{PREFIX}/"


def badge(word: str, tones: Mapping[str, Tone]) -> Badge:
    """A word of ours as a badge; one without a tone of its own is calm."""
    return Badge(text=word.replace("_", " "), tone=tones.get(word, "calm"))


def command(*words: str) -> str:
    """A command people can type."""
    return " ".join(("quarterdeck", *words))


def whole(value: Any, see: str) -> Quote:
    """A quote of the usual length; `see` is the command that shows it all."""
    return quote(value, characters_max=QUOTE_CHARACTERS_MAX, command=see)
