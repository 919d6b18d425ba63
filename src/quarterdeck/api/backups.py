"""Backups over HTTP: made by the process that holds the database, on its own machine."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends

from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import BackupAsked, Shown, StrictRoute, moment
from quarterdeck.domain.people import Caller
from quarterdeck.services.backups import Backups


class BackupShown(Shown):
    """A backup that was made, and the ledger's head in it."""

    file: str
    bytes: int
    sha256: str
    made_at: str
    actions: int
    leaves: int
    head: str | None
    head_size: int
    public_key: str


def routes(backups: Backups, callers: Callers) -> APIRouter:
    """`/v1/backups`."""
    router = APIRouter(prefix="/v1/backups", tags=["backups"], route_class=StrictRoute)

    @router.post("", status_code=201, openapi_extra=who("restore"))
    async def back_up(
        *, body: BackupAsked, caller: Annotated[Caller, Depends(callers.caller)]
    ) -> BackupShown:
        """Copy the database to a new file on the server's machine, with a manifest beside it."""
        file = Path(body.file)
        made = await backups.backup(caller, file)
        return BackupShown(
            file=str(file),
            bytes=made.bytes,
            sha256=made.sha256,
            made_at=moment(made.made_at),
            actions=made.actions,
            leaves=made.leaves,
            head=made.head,
            head_size=made.head_size,
            public_key=made.public_key,
        )

    return router
