"""Health: what `doctor` looks at, who is running, and how the ledger stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import Moment, line, moment
from quarterdeck.console.views import Badge, Tone
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.people import Caller
from quarterdeck.services import Services
from quarterdeck.services.health import Check, worst
from quarterdeck.services.ledger import HeadReading

_TONES: Final[dict[str, Tone]] = {"ok": "good", "warn": "warn", "fail": "bad", "unknown": "calm"}
_ALL: Final = {
    "ok": "Everything that was looked at is well",
    "warn": "Something should be looked at",
    "fail": "Something is broken",
    "unknown": "Not everything could be looked at",
}
_ORDER: Final = {"fail": 0, "warn": 1, "unknown": 2, "ok": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One thing that was looked at."""

    name: str
    state: Badge
    sentence: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """The newest signed head of the ledger."""

    size: str
    root: str
    at: Moment | None
    unsealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage:
    """How everything stands."""

    words: str
    tone: Tone
    checks: tuple[CheckRow, ...]
    head: LedgerHead | None
    head_missing: str
    section: str = "health"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPages:
    """The page of health."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/health", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """Look at everything once."""
        visit = await self.pages.visit(request)
        checks = await self.services.health.check(visit.caller)
        head, missing = await self._head(visit.caller)
        return self.pages.answer(
            visit, "health.html", health_page(checks, head, missing, visit.now)
        )

    async def _head(self, caller: Caller) -> tuple[HeadReading | None, str]:
        try:
            return await self.services.ledger.head(caller), ""
        except QuarterdeckError as error:
            return None, line(error.message, 200)


def health_page(
    checks: Sequence[Check], head: HeadReading | None, missing: str, now: datetime
) -> HealthPage:
    """What was looked at, what is not well first."""
    state = worst(checks)
    ordered = sorted(checks, key=lambda check: _ORDER[check.state])
    return HealthPage(
        words=_ALL[state],
        tone=_TONES[state],
        checks=tuple(
            CheckRow(
                name=check.name,
                state=Badge(text=check.state, tone=_TONES[check.state]),
                sentence=line(check.sentence, 400),
                do=line(check.do, 300),
            )
            for check in ordered
        ),
        head=None if head is None else _head(head, now),
        head_missing=missing,
    )


def _head(head: HeadReading, now: datetime) -> LedgerHead:
    return LedgerHead(
        size=f"{head.size:,}",
        root=head.root,
        at=moment(head.at, now) if head.at else None,
        unsealed=f"{head.unsealed:,}",
    )
