"""Classify mode: a triage model that does what its system prompt says.

It learns from the labelled examples the prompt names, routes what it is sure enough of, and
escalates the rest. Deliberately absent: any look at a test split, and any memory between requests.
"""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.calibration import NEVER
from quarterdeck_standin.classifier import Classifier, Guess, train
from quarterdeck_standin.conversation import Answer, Conversation, Performance, ToolCall, Turn
from quarterdeck_standin.examples import read_examples, training_file

FileKey: TypeAlias = tuple[Path, int, int]  # a file as it stood: path, mtime, size

MODEL: Final = "triage-classifier-1"
ROUTE: Final = "route_ticket"
ESCALATE: Final = "escalate"
CANDIDATES: Final = 3
_DIGITS: Final = 4
_REASON_CHARACTERS_MAX: Final = 200
_EXAMPLES_LINE: Final = re.compile(r"^\W*Labelled examples:\s*`?([^`\n]+?)`?\s*$", re.MULTILINE)
_TARGET_LINE: Final = re.compile(
    r"Route when at least (\d+(?:\.\d+)?) in 100 such answers are right"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What the system prompt asks for: which examples, and how often routing must be right."""

    examples: str
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A customer's question; the id is empty where none was given."""

    id: str
    text: str


class Triage:
    """Answers tickets. It keeps one trained classifier per file of examples as it stood on disk."""

    mode = "classify"

    def __init__(self, folder: Path, models: tuple[str, ...] = (MODEL,)) -> None:
        self.models = models
        self._folder = folder
        self._ready: dict[FileKey, Classifier] = {}
        self._training = asyncio.Lock()
        self._cuts: dict[tuple[int, float], float] = {}

    async def perform(self, conversation: Conversation, dialect: str) -> Performance:
        """Route, escalate, or say how it went."""
        last = conversation.turns[-1]
        if last.role == "tool":
            return Performance(reply=Answer(text=closing_words(conversation)))
        brief = brief_of(conversation.system)
        ticket = ticket_of(last)
        classifier = await self.classifier(brief.examples)
        cut = self._cut(classifier, brief.target)
        guesses = classifier.guesses(ticket.text, CANDIDATES)
        call = decision(ticket, guesses, cut)
        if not conversation.offers(ROUTE, ESCALATE):
            return Performance(reply=Answer(text=call.arguments))
        return Performance(reply=Answer(calls=(call,)))

    def reset(self) -> None:
        """Nothing is remembered of requests."""

    def warm(self, name: str) -> None:
        """Train on a file of examples now, before anybody asks."""
        path = training_file(self._folder, name)
        self._ready[_key(path)] = _trained(path)

    async def classifier(self, name: str) -> Classifier:
        """The classifier of a file of examples, trained once however many ask at the same time."""
        path = training_file(self._folder, name)
        key = _key(path)
        async with self._training:
            if key not in self._ready:
                # In a thread, so that other requests are answered meanwhile.
                self._ready[key] = await asyncio.to_thread(_trained, path)
        return self._ready[key]

    def _cut(self, classifier: Classifier, target: float) -> float:
        key = (id(classifier), target)
        if key not in self._cuts:
            self._cuts[key] = classifier.cut(target)
        return self._cuts[key]


def brief_of(prompt: str) -> Brief:
    """Read the two lines of a system prompt that a triage model works by."""
    examples, target = _EXAMPLES_LINE.search(prompt), _TARGET_LINE.search(prompt)
    if examples is None:
        hint = "add a line such as `Labelled examples: train.csv`"
        raise Invalid("the system prompt names no labelled examples", hint=hint)
    if target is None or not 0 < float(target[1]) <= 100:
        hint = "add `Route when at least 97.5 in 100 such answers are right; otherwise escalate.`"
        raise Invalid("the system prompt does not say when to route", hint=hint)
    return Brief(examples=examples[1], target=float(target[1]) / 100)


def ticket_of(turn: Turn) -> Ticket:
    """Read a ticket: JSON with `ticket` and `text`, or plain text."""
    try:
        parsed = orjson.loads(turn.text)
    except orjson.JSONDecodeError:
        return Ticket(id="", text=turn.text)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("text"), str):
        return Ticket(id="", text=turn.text)
    return Ticket(id=str(parsed.get("ticket", "")), text=parsed["text"])


def decision(ticket: Ticket, guesses: tuple[Guess, ...], cut: float) -> ToolCall:
    """Route when the best guess is sure enough, else escalate with the candidates."""
    best = guesses[0]
    if best.confidence >= cut:
        return _call(ROUTE, ticket=ticket.id, **_fields(best))
    candidates = [_fields(guess) for guess in guesses]
    return _call(ESCALATE, ticket=ticket.id, reason=_reason(best, cut), candidates=candidates)


def closing_words(conversation: Conversation) -> str:
    """One sentence on what became of the call whose result came last."""
    result = conversation.turns[-1]
    calls = [call for turn in conversation.turns for call in turn.calls]
    matching = [call for call in calls if call.id == result.call_id] or calls[-1:]
    arguments = _parsed(matching[0].arguments) if matching else {}
    ticket = str(arguments.get("ticket") or "the question")
    if matching and matching[0].name == ESCALATE:
        return f"Escalated {ticket} to a person."
    queue = arguments.get("queue", "no queue")
    if _parsed(result.text).get("routed") is True:
        return f"Routed {ticket} to {queue}."
    said = " ".join(result.text.split())[:_REASON_CHARACTERS_MAX]
    return f"Could not route {ticket} to {queue}: {said}"


def _trained(path: Path) -> Classifier:
    return train(read_examples(path))


def _key(path: Path) -> FileKey:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def _call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=orjson.dumps(arguments).decode())


def _fields(guess: Guess) -> dict[str, Any]:
    return {"queue": guess.queue, "confidence": round(guess.confidence, _DIGITS)}


def _reason(best: Guess, cut: float) -> str:
    said = f"the best match is {best.queue} at {best.confidence:.4f}"
    if cut >= NEVER:
        return f"{said}, and no confidence is right often enough on the labelled examples"
    return f"{said}; routing needs {cut:.4f}"


def _parsed(text: str) -> dict[str, Any]:
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
