"""The fleet over HTTP: what is in force, and applying a folder."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from quarterdeck.api import etags
from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.etags import IfMatch, IfNoneMatch
from quarterdeck.api.once import ServedOnce, reply_of
from quarterdeck.api.wire import FleetAsked, Shown, StrictRoute
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.fleet.diff import Change
from quarterdeck.services.changes import Applied, Changes
from quarterdeck.services.replies import Once


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

    @classmethod
    def of(cls, applied: Applied, *, dry_run: bool) -> "AppliedShown":
        """From what was applied, or would be."""
        return cls(
            name=applied.fleet.name,
            version=applied.fleet.version,
            dry_run=dry_run,
            changes=[ChangeShown.of(change) for change in applied.changes],
        )


class FleetShown(Shown):
    """The fleet in force."""

    name: str
    version: str
    agents: list[str]
    tools: list[str]
    vendors: list[str]
    teams: list[str]
    people: list[dict[str, str]]


def routes(changes: Changes, callers: Callers, once: ServedOnce) -> APIRouter:
    """`/v1/fleet`."""
    router = APIRouter(prefix="/v1/fleet", tags=["fleet"], route_class=StrictRoute)

    @router.get("", openapi_extra=who("read"))
    async def show_fleet(
        *, response: Response, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> FleetShown:
        """The fleet in force; its `ETag` is what an edit sends as `If-Match`."""
        fleet = await changes.in_force(caller)
        response.headers["etag"] = etags.written(fleet.version)
        return FleetShown(
            name=fleet.name,
            version=fleet.version,
            agents=sorted(fleet.agents),
            tools=sorted(fleet.tools),
            vendors=sorted(fleet.vendors),
            teams=sorted(fleet.teams),
            people=[{"id": p.id, "name": p.name, "role": p.role} for p in fleet.people],
        )

    @router.post("", openapi_extra=who("apply"))
    async def apply_fleet(
        *,
        body: FleetAsked,
        response: Response,
        dry_run: Annotated[bool, Query(description="Only say what would change.")] = False,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        caller: Annotated[Caller, Depends(callers.caller)],
        once: Annotated[Once, Depends(once)],
    ) -> AppliedShown:
        """Put a folder in force; the same folder again changes nothing.

        Says which fleet it replaces: `If-Match` with the `ETag` of the one the caller has seen, or
        `If-None-Match: *` for the first one. Only a dry run may leave that out.
        """
        files = _files(body.files)
        if dry_run:
            applied = await changes.preview(caller, files)
        else:
            authorise_whole(caller, "apply")
            seen = etags.required(if_match, if_none_match)
            # No version among those expected: that none is in force yet.
            expected: frozenset[str | None] | None
            expected = frozenset((None,)) if seen == frozenset() else seen
            answering = once.answering(
                lambda applied: reply_of(200, AppliedShown.of(applied, dry_run=False))
            )
            applied = await changes.apply(caller, files, expected=expected, once=answering)
            response.headers["etag"] = etags.written(applied.fleet.version)
        return AppliedShown.of(applied, dry_run=dry_run)

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
