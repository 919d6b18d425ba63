"""What waits for a person: calls that are held, and the card on which one is answered.

An answer carries the digest of what was shown; whoever comes second is shown what the first has
done.
"""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarterdeck.console.decisions import CardKind, Cards, asked_row
from quarterdeck.console.pages import Pages
from quarterdeck.console.perimeter import posted
from quarterdeck.console.views import approval_href
from quarterdeck.console.waiting import ROWS_ASKED, Wanted, waiting_page
from quarterdeck.domain.errors import Conflict, Invalid
from quarterdeck.services import Services

_KIND: Final = CardKind(
    noun="approvals",
    href=approval_href,
    waiting="waiting",
    states={
        "waiting": "warn",
        "granted": "good",
        "denied": "bad",
        "spent": "good",
        "lapsed": "calm",
        "void": "calm",
    },
    notes={
        "granted": "The agent may make this one call once; it has not done so yet.",
        "spent": "The call was made with this approval.",
        "denied": "The call is denied to this run.",
        "lapsed": "Its run has ended: nothing can be done with it any more.",
        "void": "It was asked before a restore: nothing can be done with it any more.",
    },
    does="asks to make",
    action="action",
    asked_as="Asked as",
    at="asked_at",
    by="answered_by",
    decided_by="Answered by",
    made="spent_by",
    yes="approve",
    no="deny",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPages:
    """The pages of approvals."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/approvals", self.list_page, methods=["GET"]),
            *self._cards.routes(),
            Route("/approvals/{approval}", self.answer, methods=["POST"]),
        ]

    async def list_page(self, request: Request) -> Response:
        """What waits for an answer, or everything that was ever asked."""
        visit = await self.pages.visit(request)
        wanted = Wanted.of(request, _KIND.path, _KIND.waiting)
        found = await self.services.approvals.list_page(
            visit.caller, states=wanted.states, before=wanted.before, rows=ROWS_ASKED
        )
        rows = [asked_row(_KIND, asked, visit.now) for asked in found]
        if not wanted.everything:  # what was asked before a restore waits for nobody
            rows = [row for row in rows if row.state.text == "waiting"]
        page = waiting_page("Waiting for a person", wanted, found, rows)
        return self.pages.answer(visit, "waiting.html", page)

    async def answer(self, request: Request) -> Response:
        """Allow or deny what the card showed; who comes second sees what the first has done."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        approval, said = request.path_params["approval"], fields.get("answer", "")
        if said not in ("approve", "deny"):
            raise Invalid("this is no answer", hint="use one of the buttons on the card")
        try:
            await self.services.approvals.answer(
                visit.caller,
                approval,
                "approve" if said == "approve" else "deny",
                digest=fields.get("digest", ""),
                because=fields.get("because", ""),
            )
        except Conflict as error:
            alert = f"Your answer was not taken: {error.message}."
            return await self._cards.answer(visit, approval, alert=alert, status=409)
        return RedirectResponse(approval_href(approval), status_code=303)

    @property
    def _cards(self) -> Cards:
        return Cards(kind=_KIND, services=self.services.approvals, pages=self.pages)
