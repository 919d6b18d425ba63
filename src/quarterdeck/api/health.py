"""Health over HTTP: what `doctor` finds, and whether this process answers at all."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends

from quarterdeck.api.callers import Callers
from quarterdeck.api.wire import Shown, StrictRoute
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.people import Caller
from quarterdeck.services.health import Health, worst
from quarterdeck.store import standing

ANSWER_SECONDS_MAX: Final = 5


class Alive(Shown):
    """The process and its database answer."""

    status: str = "ok"


class CheckShown(Shown):
    """One thing that was looked at; `do` says what to do where it is not `ok`."""

    name: str
    state: str
    found: str
    do: str


class HealthShown(Shown):
    """Everything that was looked at; `state` is the worst: fail, warn, unknown or ok."""

    state: str
    checks: list[CheckShown]


def routes(health: Health, callers: Callers) -> APIRouter:
    """`/v1/health` and `/v1/healthz`."""
    router = APIRouter(prefix="/v1", tags=["health"], route_class=StrictRoute)

    @router.get("/health")
    async def check(*, caller: Annotated[Caller, Depends(callers.caller)]) -> HealthShown:
        """Look at everything once; `state` is the worst of all."""
        checks = await health.check(caller)
        return HealthShown(
            state=worst(checks),
            checks=[
                CheckShown(name=c.name, state=c.state, found=c.sentence, do=c.do) for c in checks
            ],
        )

    @router.get("/healthz")
    async def answer() -> Alive:
        """For load balancers: 200 when the database answers. Needs no credential, says nothing."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await health.db.read(standing.get)
        except TimeoutError as error:
            raise Unavailable(
                f"the database has not answered for {ANSWER_SECONDS_MAX} s",
                hint="run: quarterdeck doctor",
            ) from error
        return Alive()

    return router
