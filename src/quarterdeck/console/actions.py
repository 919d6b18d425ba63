"""Actions in the console: the model of a step, and the page of one action."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarterdeck.console.pages import Pages
from quarterdeck.console.plain import amount, duration, line, moment, quote
from quarterdeck.console.views import (
    ActionPage,
    ActionRow,
    Cost,
    Part,
    Rule,
    Tone,
    action_href,
    badge,
    command,
    run_href,
    whole,
)
from quarterdeck.services import Services

_ACTION_STATES: Final[dict[str, Tone]] = {
    "begun": "busy",
    "done": "good",
    "failed": "bad",
    "not_attempted": "calm",
    "refused": "bad",
    "held": "warn",
    "suggested": "warn",
    "in_doubt": "warn",
}
_ANSWERS: Final[dict[str, Tone]] = {
    "allow": "good",
    "redact": "good",
    "ask": "warn",
    "suggest": "warn",
    "deny": "bad",
}
_WITHOUT_EFFECT: Final = frozenset(("not_attempted", "refused", "held", "suggested"))
_OPEN: Final = frozenset(("begun", "in_doubt"))
_BUCKETS: Final = {
    "input": "input",
    "cache_read": "cache read",
    "cache_write": "cache write",
    "output": "output",
    "reasoning": "reasoning",
}
PARTS_SHOWN_MAX: Final = 40
PART_CHARACTERS_MAX: Final = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPages:
    """The pages of actions."""

    services: Services
    pages: Pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/actions/{action}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """One action."""
        session = self.pages.signed_in(request)
        shown = await self.services.actions.show(session.caller, request.path_params["action"])
        page = action_page(shown, self.pages.sessions.clock.now())
        return self.pages.answer(request, "action.html", page)


def _cost_of_action(action: Mapping[str, Any]) -> Cost:
    state, source = action["state"], action["usage_source"]
    if state in _WITHOUT_EFFECT:
        return Cost(text="none", exact="", note="")
    if state in _OPEN:
        held = action["held_nanousd"]
        if not held:
            return Cost(text="not yet known", exact="", note="")
        shown = amount(held)
        return Cost(text=shown.text, exact=shown.exact, note="held")
    if action["kind"] == "model" and source not in ("reported", "estimated"):
        return Cost(text="unknown", exact="", note="")
    shown = amount(action["cost_nanousd"])
    return Cost(
        text=shown.text, exact=shown.exact, note="estimated" if source == "estimated" else ""
    )


def _usage(usage: Mapping[str, int] | None) -> str:
    if not usage:
        return ""
    return " · ".join(f"{usage[b]:,} {word}" for b, word in _BUCKETS.items() if usage.get(b))


def _duration_of_action(action: Mapping[str, Any]) -> str:
    if action["settled_at"] is not None:
        return duration(action["proposed_at"], action["settled_at"])
    if action["state"] == "begun":
        return "under way"
    return "unknown" if action["state"] == "in_doubt" else ""


def action_row(action: Mapping[str, Any], now: datetime) -> ActionRow:
    """An action as one step."""
    reasons: Sequence[Mapping[str, str]] = action["reasons"]
    usage = _usage(action["usage"])
    return ActionRow(
        id=action["id"],
        href=action_href(action["id"]),
        kind=action["kind"],
        target=line(action["target"], 120),
        verdict=badge(action["answer"], _ANSWERS),
        rules=tuple(
            Rule(name=line(r["rule"], 160), because=line(r["because"], 600)) for r in reasons
        ),
        state=badge(action["state"], _ACTION_STATES),
        proposed=moment(action["proposed_at"], now),
        duration=_duration_of_action(action),
        cost=_cost_of_action(action),
        usage=usage,
        usage_source=(action["usage_source"] or "") if usage else "",
        mark=action["mark"],
        error=line(action["detail"].get("error") or "", 600),
    )


def action_page(action: Mapping[str, Any], now: datetime) -> ActionPage:
    """One action with its request and its answer."""
    see = command("actions", "show", action["id"], "--json")
    parts: Sequence[Any] = action["request"]["parts"]
    left_out = max(0, len(parts) - PARTS_SHOWN_MAX)
    rest, settled = action["request"]["rest"], action["settled_at"]
    return ActionPage(
        action=action_row(action, now),
        run=action["run"],
        run_href=run_href(action["run"]),
        agent=line(action["agent"]),
        team=line(action["team"]),
        revision=action["revision"],
        digest=action["digest"],
        idempotency_key=line(action["idempotency_key"] or ""),
        labels=tuple(action["labels"]),
        settled=None if settled is None else moment(settled, now),
        unsettled=action["state"] in _OPEN,
        in_doubt=action["state"] == "in_doubt",
        price_version=line(action["price_version"] or ""),
        parts=tuple(
            _part(part, number, len(parts), see)
            for number, part in enumerate(parts[left_out:], left_out + 1)
        ),
        parts_note=f"{left_out:,} earlier parts are left out. To see them: {see}"
        if left_out
        else "",
        rest=whole(rest, see) if rest else None,
        response=None if action["response"] is None else whole(action["response"], see),
        detail=whole(action["detail"], see) if action["detail"] else None,
    )


def _part(part: Any, number: int, count: int, see: str) -> Part:
    """A message as its words if it is only words, anything else as JSON."""
    role, body = "", part
    if isinstance(part, Mapping):
        role = line(part.get("role") or part.get("type") or "", 40)
        if set(part) == {"role", "content"} and isinstance(part["content"], str):
            body = part["content"]
    heading = f"Part {number:,} of {count:,}"
    return Part(
        heading=f"{heading}: {role}" if role else heading,
        body=quote(body, characters_max=PART_CHARACTERS_MAX, command=see),
    )
