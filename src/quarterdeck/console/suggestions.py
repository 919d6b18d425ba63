"""Suggestions: writes that agents did not make, and the card on which a person makes one."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarterdeck.console.decisions import CardKind, Cards, asked_row
from quarterdeck.console.pages import Pages
from quarterdeck.console.perimeter import posted
from quarterdeck.console.views import suggestion_href
from quarterdeck.console.waiting import ROWS_ASKED, Wanted, waiting_page
from quarterdeck.domain.errors import Conflict, Invalid
from quarterdeck.services import Services

_KIND: Final = CardKind(
    noun="suggestions",
    href=suggestion_href,
    waiting="open",
    states={"open": "warn", "carried_out": "good", "dismissed": "calm", "void": "calm"},
    notes={
        "carried_out": "A person has carried it out.",
        "dismissed": "A person has put it aside; nothing was done.",
    },
    does="would make",
    action="id",
    asked_as="Suggested as",
    at="made_at",
    by="decided_by",
    decided_by="Decided by",
    made="carried_action",
    yes="carry-out",
    no="dismiss",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionPages:
    """The pages of suggestions."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/suggestions", self.list_page, methods=["GET"]),
            *self._cards.routes(),
            Route("/suggestions/{suggestion}", self.decide, methods=["POST"]),
        ]

    async def list_page(self, request: Request) -> Response:
        """What agents would have done."""
        visit = await self.pages.visit(request)
        wanted = Wanted.of(request, _KIND.path, _KIND.waiting)
        found = await self.services.suggestions.list_page(
            visit.caller, states=wanted.states, before=wanted.before, rows=ROWS_ASKED
        )
        rows = [asked_row(_KIND, made, visit.now) for made in found]
        page = waiting_page("Suggestions", wanted, found, rows)
        return self.pages.answer(visit, "waiting.html", page)

    async def decide(self, request: Request) -> Response:
        """Carry it out, or put it aside; who comes second sees what the first has done."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        suggestion, said = request.path_params["suggestion"], fields.get("answer", "")
        try:
            match said:
                case "carry-out":
                    carried = await self.services.suggestions.carry_out(visit.caller, suggestion)
                    if carried.state != "done":
                        alert = f"It was not done ({carried.state}): {carried.because}"
                        return await self._cards.answer(visit, suggestion, alert=alert)
                case "dismiss":
                    because = fields.get("because", "")
                    await self.services.suggestions.dismiss(
                        visit.caller, suggestion, because=because
                    )
                case _:
                    raise Invalid("this is no answer", hint="use one of the buttons on the card")
        except Conflict as error:
            alert = f"Nothing was done: {error.message}."
            return await self._cards.answer(visit, suggestion, alert=alert, status=409)
        return RedirectResponse(suggestion_href(suggestion), status_code=303)

    @property
    def _cards(self) -> Cards:
        return Cards(kind=_KIND, services=self.services.suggestions, pages=self.pages)
