"""The stage of an admission that asks people: a card for what is held, an answer spent once.

INVARIANT: a card is opened, and an answer is spent, in the transaction of the admission that it is
about. What a person allowed is asked anew in everything else: standing, grants, contract, budgets.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.checkpoint.recording import Recorder
from quarterdeck.checkpoint.stages import Ruling
from quarterdeck.domain import contracts
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.actions import Action, Proposal
from quarterdeck.domain.approvals import Judgement, Subject, judge
from quarterdeck.domain.consequences import foreseen
from quarterdeck.domain.definitions import identity_of
from quarterdeck.domain.ids import ActionId, ApprovalId
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.tools import HttpBackend, McpBackend, Tool
from quarterdeck.sources import Dice, Ids
from quarterdeck.store import approvals, ledger, suggestions
from quarterdeck.store.database import Transaction

_ID: Final = re.compile("apr_[0-9a-z]{26}")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What people would be asked about an action, ready for its transaction.

    `named` is the approval that the caller presents, `suggestion` what a person carries out with
    it. `consequences` are redacted: they go into the record.
    """

    id: ApprovalId
    subject: Subject
    consequences: str
    nonce: bytes
    named: str | None
    suggestion: ActionId | None


def pin_of(tool: Tool) -> str:
    """The hash of the definition that a contract names, if it is one of an MCP server."""
    return (tool.backend.pin or "") if isinstance(tool.backend, McpBackend) else ""


def subject_of(
    action: Action, ruling: Ruling, binding: Binding, definition_of: Callable[[Tool], str]
) -> Subject:
    """What an approval of this action is bound to."""
    tool = ruling.contract if isinstance(ruling.contract, Tool) else None
    server = ""
    if tool is not None and isinstance(tool.backend, McpBackend | HttpBackend):
        server = identity_of(binding.fleet.servers[tool.backend.server])
    return Subject(
        fleet=binding.fleet.name,
        team=action.team,
        run=action.run,
        agent=action.agent,
        revision=action.revision,
        kind=action.kind,
        target=action.target,
        contract="" if tool is None else tool.digest,
        definition="" if tool is None else definition_of(tool),
        server=server,
        arguments=action.digest,
    )


async def question(
    proposal: Proposal, action: Action, subject: Subject, *, ruling: Ruling, desk: "Desk"
) -> Question:
    """What people would be asked, with what the call would do, redacted."""
    tool = ruling.contract if isinstance(ruling.contract, Tool) else None
    return Question(
        id=ApprovalId(desk.ids.new("apr")),
        subject=subject,
        consequences=await consequences(desk.recorder, action, tool),
        nonce=desk.dice.bytes(NONCE_BYTES),
        named=None if proposal.approval is None else _written(proposal.approval),
        suggestion=proposal.suggestion,
    )


def _written(named: str) -> str:
    """An approval's id as somebody sent it; what cannot be one is none, whatever is in it."""
    return named if _ID.fullmatch(named) else ""


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What a question is written with."""

    recorder: Recorder
    ids: Ids
    dice: Dice


async def consequences(recorder: Recorder, action: Action, tool: Tool | None) -> str:
    """What a call would do, as it may be recorded: its destinations are somebody's addresses."""
    found = foreseen(tool, contracts.read(action.arguments))
    destinations = {
        name: await recorder.redacted_text(action.team, to)
        for name, to in found.destinations.items()
    }
    return msgspec.json.encode(msgspec.structs.replace(found, destinations=destinations)).decode()


def judged(tx: Transaction, action: Action, asked: Question, *, incarnation: str) -> Judgement:
    """What people have said about this call so far."""
    if asked.named is None:
        found = approvals.find_of_call(tx, action.run, action.target, action.digest)
    else:
        found = approvals.find_named(tx, asked.named, action.run)
    return judge(found, asked.subject, incarnation=incarnation, named=asked.named is not None)


def ask(tx: Transaction, action: Action, asked: Question, *, incarnation: str) -> None:
    """Open a card for a held action."""
    labels = labelling.written(action.labels)
    digest = asked.subject.digest(action=action.id, labels=labels)
    approvals.open(
        tx,
        {
            "id": asked.id,
            "action": action.id,
            "run": action.run,
            "agent": action.agent,
            "team": action.team,
            "revision": action.revision,
            "kind": action.kind,
            "target": action.target,
            "call": action.digest,
            "digest": digest,
            "labels": labels,
            "consequences": asked.consequences,
            "incarnation": incarnation,
        },
    )
    body = {"approval": asked.id, "action": action.id, "run": action.run, "digest": digest}
    ledger.append(tx, Entry(kind="approval_asked", subject=asked.id, body=body), asked.nonce)


def spend(tx: Transaction, action: Action, approval: str, nonce: bytes) -> None:
    """Use an answer up for an action that was cleared with it."""
    spent = approvals.spend(tx, approval, action.id)
    assert spent, "it was granted and locked a moment ago, in the same transaction"
    body = {"approval": approval, "action": action.id, "run": action.run}
    ledger.append(tx, Entry(kind="approval_spent", subject=approval, body=body), nonce)


def give_back(tx: Transaction, action: Action, nonce: bytes) -> None:
    """What an action used up is usable again, because provably nothing of it was begun.

    INVARIANT: only in the transaction that settles the action as not attempted, which happens to an
    action once and never after another process has taken it over: so one effect comes out of one
    answer. It is bound to the same digest as before, and everything else is asked anew.
    """
    row = approvals.give_back(tx, action.id)
    if row is not None:
        body = {name: row[name] for name in ("run", "state")}
        body |= {"approval": row["id"], "action": action.id}
        ledger.append(tx, Entry(kind="approval_returned", subject=row["id"], body=body), nonce)
        return
    suggestion = suggestions.reopen(tx, action.id)
    if suggestion is not None:
        body = {"suggestion": suggestion, "action": action.id, "run": action.run}
        ledger.append(tx, Entry(kind="suggestion_reopened", subject=suggestion, body=body), nonce)


def suggest(tx: Transaction, action: Action, asked: Question, *, incarnation: str) -> None:
    """Keep an action that was not made, to be made by a person. Its own leaf says `suggested`."""
    suggestions.open(
        tx,
        {
            "action": action.id,
            "run": action.run,
            "agent": action.agent,
            "team": action.team,
            "revision": action.revision,
            "target": action.target,
            "call": action.digest,
            "consequences": asked.consequences,
            "incarnation": incarnation,
        },
    )
