"""Health over HTTP: what `doctor` finds, and whether this process answers at all."""

from typing import Annotated

from fastapi import APIRouter, Depends

from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import Shown, StrictRoute
from quarterdeck.domain.people import Caller
from quarterdeck.services.health import Health, worst


class Alive(Shown):
    """The process and its database answer; how many circuits to vendors are in which state."""

    status: str = "ok"
    circuits: dict[str, int]


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

    @router.get("/health", openapi_extra=who("read"))
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
        """For load balancers: 200 when the database answers. Needs no credential, names nothing."""
        await health.answer()
        return Alive(circuits=health.circuits())

    return router
