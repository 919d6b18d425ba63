"""Who asks, and what their role lets them do (SPEC ID-1). Freezing is wide, thawing narrow."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from quarterdeck.domain.errors import Forbidden, NotFound
from quarterdeck.domain.fleets import Role
from quarterdeck.domain.ids import AgentName, TeamName

Deed: TypeAlias = Literal[
    "read", "start", "operate", "approve", "apply", "keys", "secrets", "restore"
]
_DEEDS: Final[dict[str, frozenset[str]]] = {
    "owner": frozenset(
        ("read", "start", "operate", "approve", "apply", "keys", "secrets", "restore")
    ),
    "on-call": frozenset(("read", "start", "operate")),
    "reviewer": frozenset(("read",)),
    "viewer": frozenset(("read",)),
    # An agent's own key starts runs of that agent and sees nothing else.
    "agent": frozenset(("start",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody identified: a person with a role, or an agent by its long-lived key."""

    id: str
    role: Role | Literal["agent"]
    agent: AgentName | None = None
    team: TeamName | None = None  # whoever is of one team sees that team's, and nothing else

    def sees(self, team: str) -> bool:
        """Whether what belongs to this team is there for them."""
        return self.team is None or team == self.team


def roles_with(deed: Deed) -> tuple[str, ...]:
    """Who may, by role; `agent` for an agent's own key."""
    return tuple(role for role, deeds in _DEEDS.items() if deed in deeds)


def authorise(caller: Caller, deed: Deed, *, agent: str | None = None) -> None:
    """Raise Forbidden unless the caller may; an agent's key is good for that agent only."""
    if deed not in _DEEDS[caller.role]:
        raise Forbidden(
            f"`{caller.id}` may not do this: it takes more than the role {caller.role}",
            hint="ask an owner of the fleet",
        )
    if caller.agent is not None and agent != caller.agent:
        raise Forbidden(
            f"the key of agent `{caller.agent}` is good for that agent only",
            hint="use a key of the agent you mean",
        )


def authorise_whole(caller: Caller, deed: Deed) -> None:
    """Raise Forbidden unless the caller may, and for the whole fleet: not for one team of it."""
    authorise(caller, deed)
    if caller.team is not None:
        raise Forbidden(
            f"`{caller.id}` belongs to the team `{caller.team}`, and this is about the whole fleet",
            hint="ask an owner of the fleet",
        )


def authorise_team(caller: Caller, deed: Deed, team: str, missing: NotFound) -> None:
    """Raise Forbidden unless the caller may; what belongs to another team is not there."""
    authorise(caller, deed)
    if not caller.sees(team):
        raise missing
