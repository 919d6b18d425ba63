"""Suggestions: writes that were not made. A person carries one out, once, or puts it aside.

Whoever carries one out starts a run of the same agent at the same revision; the exact call is
checked anew in everything but the level of autonomy. Both owners and no one else: it takes effect.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

import orjson

from quarterdeck.checkpoint.earlier import action_of
from quarterdeck.checkpoint.sealing import Seals
from quarterdeck.checkpoint.suggestions import KIND
from quarterdeck.domain.actions import (
    Content,
    Done,
    Held,
    InDoubt,
    Outcome,
    Proposal,
    Refused,
    Suggested,
)
from quarterdeck.domain.errors import Conflict, NotFound
from quarterdeck.domain.fleets import Fleet
from quarterdeck.domain.ids import ActionId
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import page_rows
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.domain.suggestions import RESTORED, void_because, void_of
from quarterdeck.fleet.builtin import is_carried_out_here
from quarterdeck.services.actions import reasons_of, recorded_request
from quarterdeck.services.decisions import get_for_decision, kept_reason
from quarterdeck.services.runs import Runs
from quarterdeck.store import actions, ledger, runs, standing, suggestions
from quarterdeck.store.database import Database, Reading, Row, Transaction

#: Carries a call out, to its settlement, whatever becomes of whoever asked for it.
CarryOut = Callable[[Proposal], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came of a suggestion that somebody carried out."""

    suggestion: str
    run: str
    action: str
    state: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """The use cases of suggestions."""

    db: Database
    seals: Seals
    runs: Runs
    carry: CarryOut

    async def list_page(
        self,
        caller: Caller,
        *,
        states: Sequence[str] = (),
        agent: str = "",
        before: str = "",
        rows: int = 0,
    ) -> list[dict[str, Any]]:
        """Suggestions, newest first; `before` is the id the page before ended with."""
        authorise(caller, "read")
        count, team = page_rows(rows), caller.team or ""
        fleet = await self.runs.bindings.in_force()

        def read(tx: Reading) -> list[dict[str, Any]]:
            asked: Any = {"team": team, "agent": agent, "before": before, "rows": count}
            if tuple(states) == ("open",):
                void = void_of(fleet, suggestions.list_open_calls(tx))
                found = suggestions.list_open(tx, void=void, **asked)
            else:
                found = suggestions.list_page(tx, states=states, **asked)
            incarnation = standing.get(tx).incarnation
            return [_listed(row, incarnation, fleet) for row in found]

        return await self.db.read(read)

    async def show(self, caller: Caller, suggestion: str) -> dict[str, Any]:
        """One suggestion with its redacted arguments."""
        authorise(caller, "read")
        fleet = await self.runs.bindings.in_force()
        return await self.db.read(lambda tx: _shown(tx, caller, suggestion, fleet))

    async def reveal(self, caller: Caller, suggestion: str) -> dict[str, Any]:
        """The exact arguments, to whoever may carry it out; that they looked is recorded (I-9)."""
        row = await self._get(caller, suggestion)
        arguments = await self._arguments(row)
        body = {"suggestion": suggestion, "by": caller.id}
        await self.db.write(lambda tx: self._record(tx, "suggestion_revealed", suggestion, body))
        return {"id": suggestion, "arguments": orjson.loads(arguments)}

    async def carry_out(self, caller: Caller, suggestion: str) -> Carried:
        """Make the call that was suggested, as a run of the same agent that this person starts."""
        row = await self._get(caller, suggestion)
        await self._check_open(row)
        made = await self.db.read(lambda tx: actions.find(tx, suggestion))
        run = await self.db.read(lambda tx: runs.find(tx, row["run"]))
        assert made is not None and run is not None, "a suggestion is an action of a run"  # noqa: PT018  one reason
        arguments = await self._arguments(row)
        binding = await self.runs.bindings.of(row["revision"])
        if not is_carried_out_here(binding.fleet.tools[row["target"]]):
            raise Conflict(
                f"`{row['target']}` has no back end here: its effect is in the agent's own process",
                hint="do it by hand, and dismiss the suggestion with a word about that",
            )
        given = {"suggestion": suggestion, "correlation": run["correlation"]}
        started = await self.runs.start_bound(caller, binding, given, kind=KIND)
        proposal = Proposal(
            credential=started.credential,
            kind="tool",
            target=row["target"],
            arguments=arguments,
            content=Content(rest=arguments),
            labels=action_of(made).labels,
            suggestion=ActionId(suggestion),
        )
        try:
            outcome = await self.carry(proposal)
        except BaseException:
            failed = RunOutcome(state="failed", because="it could not be carried out")
            await self.runs.end(caller, started.id, failed)
            raise
        state, because = _words(outcome)
        ended = RunOutcome(state="succeeded" if state == "done" else "failed", because=because)
        await self.runs.end(caller, started.id, ended)
        return Carried(
            suggestion=suggestion,
            run=started.id,
            action=outcome.action.id,
            state=state,
            because=because,
        )

    async def dismiss(self, caller: Caller, suggestion: str, *, because: str = "") -> None:
        """Put a suggestion aside; whoever comes second is told who did."""
        row = await self._get(caller, suggestion)
        kept = await kept_reason(self.runs.keyring, row["team"], because)

        def write(tx: Transaction) -> None:
            current = suggestions.get_locked(tx, suggestion)
            assert current is not None, "a suggestion stays where it is"
            _check(current, standing.get(tx).incarnation)
            suggestions.dismiss(tx, suggestion, by=caller.id, because=kept)
            runs.forget_sealing_key(tx, row["run"])
            body = {"suggestion": suggestion, "by": caller.id, "because": kept}
            self._record(tx, "suggestion_dismissed", suggestion, body)

        await self.db.write(write)

    async def _check_open(self, row: Row) -> None:
        incarnation = (await self.db.read(standing.get)).incarnation
        _check(row, incarnation)
        fleet = await self.runs.bindings.in_force()
        if because := void_because(fleet, row["agent"], row["target"]):
            raise Conflict(
                f"nobody can carry out `{row['action']}` any more: {because}",
                hint="dismiss it, or apply a fleet in which it is granted",
            )

    async def _get(self, caller: Caller, suggestion: str) -> Row:
        return await get_for_decision(
            self.db, caller, lambda tx: suggestions.find(tx, suggestion), _missing(suggestion)
        )

    async def _arguments(self, row: Row) -> bytes:
        made = await self.db.read(lambda tx: actions.find(tx, row["action"]))
        assert made is not None, "a suggestion is an action"
        arguments = await self.seals.find_arguments(action_of(made))
        if arguments is None:
            raise Conflict(
                f"the exact arguments of `{row['action']}` are destroyed: it was decided about",
                hint="what is recorded of them is in the suggestion itself",
            )
        return arguments

    def _record(self, tx: Transaction, kind: str, suggestion: str, body: dict[str, Any]) -> None:
        entry = Entry(kind=kind, subject=suggestion, body=body)
        ledger.append(tx, entry, self.runs.dice.bytes(NONCE_BYTES))


def _check(row: Row, incarnation: str) -> None:
    """Raise unless nobody has decided, and nothing was restored since."""
    if row["state"] != "open":
        did = "dismissed" if row["state"] == "dismissed" else "carried out"
        raise Conflict(
            f"`{row['decided_by']}` has {did} `{row['action']}` already",
            hint=f"see it: quarterdeck suggestions show {row['action']}",
        )
    if row["incarnation"] != incarnation:
        raise Conflict(
            f"`{row['action']}` was suggested before a restore",
            hint="whether it was carried out since is not known here; let the agent suggest anew",
        )


def _words(outcome: Outcome) -> tuple[str, str]:
    """What came of it: a state, and a sentence."""
    match outcome:
        case Done(receipt=receipt):
            said = "carried out" if receipt.status == "done" else "it was tried and failed"
            return receipt.status, str(receipt.detail.get("error") or said)
        case InDoubt():
            return "in_doubt", "nobody can say yet whether it took place"
        case Refused(verdict=verdict) | Held(verdict=verdict) | Suggested(verdict=verdict):
            state = type(outcome).__name__.lower()
            return state, "; ".join(f"{r.rule}: {r.because}" for r in verdict.reasons)
        case _:
            assert_never(outcome)


def _missing(suggestion: str) -> NotFound:
    return NotFound(f"no suggestion `{suggestion}`", hint="see `quarterdeck suggestions list`")


_LISTED: Final = (
    "run", "agent", "team", "revision", "target", "made_at", "decided_at", "decided_by", "because",
    "carried_run", "carried_action",
)  # fmt: skip


def _listed(row: Row, incarnation: str, fleet: Fleet | None) -> dict[str, Any]:
    shown = {"id": row["action"], **{name: row[name] for name in _LISTED}}
    because = _void(row, incarnation, fleet)
    shown |= {"state": "void" if because else row["state"], "void_because": because or None}
    return shown | {"consequences": orjson.loads(row["consequences"])}


def _void(row: Row, incarnation: str, fleet: Fleet | None) -> str:
    """Why nobody can carry it out any more; empty if somebody can, or has decided."""
    if row["state"] != "open":
        return ""
    if row["incarnation"] != incarnation:
        return RESTORED
    return void_because(fleet, row["agent"], row["target"])


def _shown(tx: Reading, caller: Caller, suggestion: str, fleet: Fleet | None) -> dict[str, Any]:
    row = suggestions.find(tx, suggestion)
    if row is None or not caller.sees(row["team"]):
        raise _missing(suggestion)
    made = actions.find(tx, suggestion)
    assert made is not None, "a suggestion is an action"
    shown = _listed(row, standing.get(tx).incarnation, fleet)
    shown["labels"] = made["labels"].split()
    shown["reasons"] = reasons_of(made)
    shown["arguments"] = recorded_request(tx, made["request"])
    return shown
