"""The REST API as one FastAPI application: identify, parse, one call, one answer.

Routes carry their whole path, `/v1/…`. Deliberately absent: documentation pages that load scripts
from elsewhere, and any decision: who may do what is the first line of each service.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from quarterdeck import __version__
from quarterdeck.api import (
    actions,
    agents,
    approvals,
    backups,
    blast_radius,
    costs,
    errors,
    fleet,
    health,
    keys,
    ledger,
    plans,
    runs,
    secrets,
    servers,
    sign_in,
    suggestions,
    tools,
)
from quarterdeck.api.callers import Callers, Identify
from quarterdeck.api.described import describe
from quarterdeck.api.driving import Driving
from quarterdeck.api.edge import Edge
from quarterdeck.api.once import Repeats, on_replayed
from quarterdeck.api.wire import FailureShown
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.services import Services
from quarterdeck.services.replies import Replayed


def build(
    services: Services,
    driving: Driving,
    identify: Identify,
    *,
    make_link: sign_in.MakeLink | None = None,
    beside: Mapping[str, Any] | None = None,
) -> FastAPI:
    """The API over these services; `driving` must be drained before their database closes.

    `make_link` makes links into the console; without one, there is no route for them. `beside` is
    the part of an OpenAPI document that describes what agents use under `/v1`.
    """
    app = FastAPI(
        title="Quarterdeck",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        responses={400: {"model": FailureShown}},  # puts the schema into the document
        exception_handlers={
            QuarterdeckError: errors.on_ours,
            HTTPException: errors.on_http,
            RequestValidationError: errors.on_misfit,
            Replayed: on_replayed,
        },
    )
    callers = Callers(identify)
    once = Repeats(services.replies).of(callers)
    for router in (
        agents.routes(services.agents, callers),
        blast_radius.routes(services.blast_radii, callers),
        keys.routes(services.keys, callers, once),
        runs.routes(services, driving, callers, once),
        actions.routes(services.actions, callers),
        approvals.routes(services.approvals, callers),
        suggestions.routes(services.suggestions, callers),
        plans.routes(services.plans, callers),
        costs.routes(services.costs, callers),
        fleet.routes(services.changes, callers, once),
        ledger.routes(services.ledger, callers),
        secrets.routes(services.secrets, callers, once),
        tools.routes(services.definitions, callers),
        servers.routes(services.definitions, services.consents, callers),
        health.routes(services.health, callers),
        backups.routes(services.backups, callers),
    ):
        app.include_router(router)
    if make_link is not None:
        app.include_router(sign_in.routes(make_link, callers))
    describe(app, beside or {})
    app.add_middleware(Edge)
    return app
