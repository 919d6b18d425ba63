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
