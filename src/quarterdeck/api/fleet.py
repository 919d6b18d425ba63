"""The fleet over HTTP: what is in force, and applying a folder."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from quarterdeck.api.callers import Callers
from quarterdeck.api.wire import FleetAsked, Shown, StrictRoute
from quarterdeck.domain.errors import Invalid, NotFound
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.fleet.diff import Change
from quarterdeck.services.changes import Changes


class ChangeShown(Shown):
    """What applying a fleet changes, for one noun."""

    noun: str
    name: str
    kind: str
    details: list[str]

    @classmethod
    def of(cls, change: Change) -> "ChangeShown":
        """From a change."""
        return cls(
            noun=change.noun, name=change.name, kind=change.kind, details=list(change.details)
        )


class AppliedShown(Shown):
    """A fleet that is in force now, or would be; no changes means it was already."""

    name: str
    version: str
    dry_run: bool
    changes: list[ChangeShown]


class FleetShown(Shown):
    """The fleet in force."""

    name: str
    version: str
    agents: list[str]
    tools: list[str]
    vendors: list[str]
    teams: list[str]
    people: list[dict[str, str]]


def routes(changes: Changes, callers: Callers) -> APIRouter:
    """`/v1/fleet`."""
    router = APIRouter(prefix="/v1/fleet", tags=["fleet"], route_class=StrictRoute)

    @router.get("")
    async def show_fleet(*, caller: Annotated[Caller, Depends(callers.caller)]) -> FleetShown:
        """The fleet in force."""
        authorise(caller, "read")
        fleet = await changes.bindings.in_force()
        if fleet is None:
            raise NotFound("no fleet is in force", hint="run: quarterdeck apply DIR")
        return FleetShown(
            name=fleet.name,
            version=fleet.version,
            agents=sorted(fleet.agents),
            tools=sorted(fleet.tools),
            vendors=sorted(fleet.vendors),
            teams=sorted(fleet.teams),
            people=[{"id": p.id, "name": p.name, "role": p.role} for p in fleet.people],
        )

    @router.post("")
    async def apply_fleet(
        *,
        body: FleetAsked,
        dry_run: Annotated[bool, Query(description="only say what would change")] = False,
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> AppliedShown:
        """Put a folder in force; the same folder again changes nothing."""
        files = _files(body.files)
        act = changes.preview if dry_run else changes.apply
        applied = await act(caller, files)
        return AppliedShown(
            name=applied.fleet.name,
            version=applied.fleet.version,
            dry_run=dry_run,
            changes=[ChangeShown.of(change) for change in applied.changes],
        )

    return router


def _files(sent: Mapping[str, str]) -> dict[str, bytes]:
    files = {}
    for path, body in sent.items():
        try:
            files[path] = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            shown = "".join(c if c.isprintable() else "?" for c in path)[:100]
            raise Invalid(
                f"the file `{shown}` is not in base64", hint="encode each file's bytes"
            ) from error
    return files
