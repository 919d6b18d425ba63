"""What a person decides about: each thing on a card of its own, with all they need to.

A card's sentence comes from the contract; what the agent wrote is quoted and inert. The exact
arguments are shown only to who asks for them, and the ledger says that they did.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console import messages
from quarterdeck.console.messages import Field
from quarterdeck.console.pages import Pages, Visit
from quarterdeck.console.perimeter import posted
from quarterdeck.console.plain import Moment, Quote, line, moment, plural
from quarterdeck.console.steps import Rule, rules_of
from quarterdeck.console.views import (
    Badge,
    Link,
    Tone,
    action_href,
    agent_href,
    badge,
    command,
    plan_href,
    run_href,
    whole,
)
from quarterdeck.console.waiting import AskedRow
from quarterdeck.services.approvals import Approvals
from quarterdeck.services.suggestions import Suggestions


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and what it is, perhaps leading somewhere."""

    name: str
    text: str
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPage:
    """One thing for people to decide about, with all they need to."""

    back: Link
    id: str
    target: str
    state: Badge
    sentence: str
    note: str
    alert: str
    facts: tuple[Fact, ...]
    at: Moment
    labels: tuple[str, ...]
    rules: tuple[Rule, ...]
    fields: tuple[Field, ...]
    quoted: Quote | None
    exact: Quote | None
    digest: str
    form: str
    reveal: str
    yes: str
    no: str
    section: str = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardKind:
    """What the cards of one noun have in common; `action`, `at`, `by`, `made` name its fields."""

    noun: str
    href: Callable[[str], str]
    waiting: str
    states: Mapping[str, Tone]
    notes: Mapping[str, str]
    does: str
    action: str
    asked_as: str
    at: str
    by: str
    decided_by: str
    made: str
    yes: str
    no: str

    @property
    def path(self) -> str:
        """Where their list is, below the console."""
        return f"/{self.noun}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """The cards of one noun: shown, revealed, and shown again where an answer was not taken."""

    kind: CardKind
    services: Approvals | Suggestions
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        where = f"{self.kind.path}/{{card}}"
        return [
            Route(where, self.show, methods=["GET"]),
            Route(f"{where}/reveal", self.reveal, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """One card."""
        visit = await self.pages.visit(request)
        return await self.answer(visit, request.path_params["card"])

    async def reveal(self, request: Request) -> Response:
        """The card with the exact arguments, this once; the ledger says who looked."""
        fields = await posted(request)
        visit = await self.pages.visit(request)
        self.pages.check_form(visit, fields)
        card = request.path_params["card"]
        exact = await self.services.reveal(visit.caller, card)
        return await self.answer(visit, card, exact=exact["arguments"])

    async def answer(
        self, visit: Visit, card: str, *, alert: str = "", exact: Any = None, status: int = 200
    ) -> Response:
        """A card as it is now; an `alert` says why nothing was done."""
        shown = await self.services.show(visit.caller, card)
        page = card_page(self.kind, shown, visit.now, alert=alert, exact=exact)
        return self.pages.answer(visit, "card.html", page, status=status)


def asked_row(kind: CardKind, asked: Mapping[str, Any], now: datetime) -> AskedRow:
    """A card as one line of a list."""
    return AskedRow(
        id=asked["id"],
        href=kind.href(asked["id"]),
        state=badge(asked["state"], kind.states),
        target=line(asked["target"], 120),
        summary=summary_of(asked["consequences"]),
        agent=line(asked["agent"], 64),
        agent_href=agent_href(asked["agent"]),
        run_href=run_href(asked["run"], at=asked[kind.action]),
        at=moment(asked[kind.at], now),
        decided=line(asked[kind.by] or "", 80),
    )


def card_page(
    kind: CardKind, shown: Mapping[str, Any], now: datetime, *, alert: str = "", exact: Any = None
) -> CardPage:
    """One card."""
    see = command(kind.noun, "show", shown["id"], "--json")
    waiting = shown["state"] == kind.waiting
    where = kind.href(shown["id"])
    agent = line(shown["agent"], 64)
    return CardPage(
        back=Link(text=kind.noun.capitalize(), href=f"/console{kind.path}"),
        id=shown["id"],
        target=line(shown["target"], 120),
        state=badge(shown["state"], kind.states),
        sentence=f"{agent} {kind.does} this call: {summary_of(shown['consequences'])}",
        note=_note(kind, shown),
        alert=line(alert, 400),
        facts=(*_who(kind, shown), *_effects(shown["consequences"])),
        at=moment(shown[kind.at], now),
        labels=tuple(shown["labels"]),
        rules=rules_of(shown["reasons"]),
        fields=messages.fields_of(shown["arguments"]),
        quoted=whole(shown["arguments"], see),
        exact=None if exact is None else whole(exact, see),
        digest=shown.get("digest", ""),
        form=where if waiting else "",
        reveal=f"{where}/reveal" if waiting and exact is None else "",
        yes=kind.yes,
        no=kind.no,
    )


def _note(kind: CardKind, shown: Mapping[str, Any]) -> str:
    """What became of it; of what can be done no more, why."""
    if because := shown.get("void_because"):
        return line(f"Nobody can carry it out any more: {because}.".replace("`", ""), 400)
    return kind.notes.get(shown["state"], "")


def summary_of(consequences: Mapping[str, Any]) -> str:
    """The contract's sentence, without the quotes it has on a terminal."""
    return line(consequences["summary"], 400).replace("`", "")


def _who(kind: CardKind, shown: Mapping[str, Any]) -> tuple[Fact, ...]:
    because = f": {shown['because']}" if shown["because"] else ""
    told = (
        ("Agent", shown["agent"], agent_href(shown["agent"])),
        ("Run", shown["run"], run_href(shown["run"], at=shown[kind.action])),
        (kind.asked_as, shown[kind.action], action_href(shown[kind.action])),
        ("Plan", shown.get("plan") or "", plan_href(shown.get("plan") or "")),
        (kind.decided_by, f"{shown[kind.by]}{because}" if shown[kind.by] else "", ""),
        ("Made as", shown[kind.made] or "", action_href(shown[kind.made] or "")),
    )
    return tuple(Fact(name=n, text=line(t, 300), href=href) for n, t, href in told if t)


def _effects(consequences: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What a call would do at the most, each thing by its name."""
    records = [
        plural(consequences[name], f"record {name}", f"records {name}")
        for name in ("written", "deleted")
        if consequences[name]
    ]
    told = (
        ("Effect", consequences["effect"]),
        ("Moves", ", ".join(consequences["moves"])),
        ("Records", ", ".join(records)),
        ("Messages", str(consequences["messages"] or "")),
        ("Goes to", ", ".join(f"{n}: {to}" for n, to in consequences["destinations"].items())),
        ("Can be undone", _undone(consequences)),
    )
    return tuple(Fact(name=name, text=line(text, 300)) for name, text in told if text)


def _undone(consequences: Mapping[str, Any]) -> str:
    if consequences["effect"] in ("read", "egress", "draft"):
        return ""
    match consequences["reversible"]:
        case None:
            return "no"
        case "compensation":
            return "not by a tool; people can make up for it"
        case tool:
            return f"with {tool}"
