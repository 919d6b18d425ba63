"""The console as one application, mounted under /console.

Deliberately absent: any way past `services/`: a page shows what its caller may read. Pages are
whole without JavaScript; scripts only make them quicker to use, and are files of ours.
"""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from quarterdeck.console.actions import ActionPages
from quarterdeck.console.agents import AgentPages
from quarterdeck.console.approvals import ApprovalPages
from quarterdeck.console.consents import ConsentPages
from quarterdeck.console.costs import CostPages
from quarterdeck.console.fleet import FleetPages
from quarterdeck.console.health import HealthPages
from quarterdeck.console.live import Live, LiveStreams
from quarterdeck.console.pages import Pages, environment
from quarterdeck.console.perimeter import LOOPBACK, Perimeter
from quarterdeck.console.plans import PlanPages
from quarterdeck.console.runs import RunPages
from quarterdeck.console.session import PREFIX, Sessions
from quarterdeck.console.sign_in import SignInPages
from quarterdeck.console.suggestions import SuggestionPages
from quarterdeck.console.timeline import TimelinePages
from quarterdeck.console.tools import ToolPages
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.services import Services


def build(
    services: Services,
    session: Sessions,
    *,
    live: Live | None = None,
    hosts: frozenset[str] = LOOPBACK,
) -> Starlette:
    """The console; `hosts` are the names, without ports, that it answers to."""
    pages = Pages(sessions=session, ended=services.sessions, environment=environment())
    failures = _Failures(pages)
    return Starlette(
        routes=_routes(services, pages, live or Live(services.timeline)),
        middleware=[Middleware(Perimeter, hosts=hosts, stranger=failures.stranger)],
        exception_handlers=failures.table(),
    )


def _routes(services: Services, pages: Pages, live: Live) -> list[BaseRoute]:
    return [
        *FleetPages(services=services, pages=pages).routes(),
        *RunPages(services=services, pages=pages).routes(),
        *TimelinePages(services=services, pages=pages).routes(),
        *ActionPages(services=services, pages=pages).routes(),
        *ApprovalPages(services=services, pages=pages).routes(),
        *SuggestionPages(services=services, pages=pages).routes(),
        *PlanPages(services=services, pages=pages).routes(),
        *AgentPages(services=services, pages=pages).routes(),
        *ToolPages(services=services, pages=pages).routes(),
        *ConsentPages(services=services, pages=pages).routes(),
        *CostPages(services=services, pages=pages).routes(),
        *HealthPages(services=services, pages=pages).routes(),
        *SignInPages(pages=pages).routes(),
        *LiveStreams(pages=pages, live=live).routes(),
        Mount("/static", StaticFiles(packages=[("quarterdeck.console", "static")])),
    ]


class _Failures:
    """What goes wrong, as pages."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def table(self) -> Mapping[Any, Any]:
        """Which of them answers what."""
        return {
            QuarterdeckError: self.operating_error,
            HTTPException: self.http_error,
            Exception: self.bug,
        }

    def stranger(self, request: Request) -> Response:
        """A host we do not answer to."""
        hint = "Open the address that `quarterdeck up` printed."
        message = "The console does not answer to this address."
        return self._pages.plain_status(self._pages.nobody(request), 421, message, hint)

    async def operating_error(self, request: Request, error: QuarterdeckError) -> Response:
        """An expected failure."""
        return await self._pages.failure(request, error)

    async def http_error(self, request: Request, error: HTTPException) -> Response:
        """No such page, or not by this method."""
        hint = f"Start from the fleet, at {PREFIX}/."
        message = "There is no such page." if error.status_code == 404 else error.detail
        return await self._pages.status(request, error.status_code, message, hint)

    async def bug(self, request: Request, error: Exception) -> Response:
        """Our own mistake: said plainly, without a trace of its inside; the log has the rest."""
        hint = "The log of the server says what happened."
        visit = self._pages.nobody(request)
        return self._pages.plain_status(visit, 500, "The console made a mistake.", hint)
