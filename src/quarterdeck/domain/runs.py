"""Runs: one task from trigger to outcome, pinned to one revision."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from quarterdeck.domain.ids import AgentName, RevisionHash, RunId, TeamName
from quarterdeck.domain.labels import Labels

RunState: TypeAlias = Literal["running", "succeeded", "failed", "escalated", "cancelled"]
ENDED: frozenset[str] = frozenset(("succeeded", "failed", "escalated", "cancelled"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Who acts: what a run credential stands for."""

    run: RunId
    agent: AgentName
    team: TeamName
    revision: RevisionHash
    labels: Labels
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: its state, a sentence, and what it delivered."""

    state: Literal["succeeded", "failed", "escalated", "cancelled"]
    because: str
    result: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilters:
    """Which runs to list: all that fit every field that says something.

    Times are microseconds: started at `since` or later, before `until`. `prefix` begins an id.
    `words` all stand in what the run was given, its correlation or its end. `having` names a state
    that at least one of its actions is in. `text` is what a person typed to find a run: an id or
    the beginning of one, an action's id, or words.
    """

    agent: str = ""
    team: str = ""
    state: str = ""
    kind: str = ""
    correlation: str = ""
    since: int = 0
    until: int = 0
    prefix: str = ""
    words: tuple[str, ...] = ()
    having: str = ""
    text: str = ""
