"""Approvals: what a person answers, what exactly the answer is good for, and when it is spent.

INVARIANT: an approval is good for one action once: the same run, revision, target, contract,
definition, server and arguments as were shown, under the labels that were shown. Whatever else may
stand against the action is asked anew.
Deliberately absent: who is told and how, how many must agree, and expiry.
"""

from hashlib import sha256
from typing import Literal, TypeAlias

import msgspec

from quarterdeck.domain.ids import ActionId, ApprovalId
from quarterdeck.domain.ledger import canonical
from quarterdeck.domain.verdicts import Verdict, deny

State: TypeAlias = Literal["waiting", "granted", "denied", "spent", "lapsed"]
#: As people are told: of another incarnation it is void, whatever it was.
ShownState: TypeAlias = Literal["waiting", "granted", "denied", "spent", "lapsed", "void"]
Answer: TypeAlias = Literal["approve", "deny"]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What an action is, as far as an approval binds it; `arguments` is a digest of their bytes.

    `contract` is the digest of the tool's contract, `definition` the pinned hash of what its server
    says it is, `server` a digest of which server that is; both are empty where there is none.
    """

    fleet: str
    team: str
    run: str
    agent: str
    revision: str
    kind: str
    target: str
    contract: str
    definition: str
    server: str
    arguments: str

    def digest(self, *, action: str, labels: str) -> str:
        """What is shown and answered (RFC 8785): this, the action it was asked for, its labels.

        The labels are those of the moment it was asked: a run that has read more since still asks
        for the same bytes, and whatever its new labels forbid is asked anew anyway.
        """
        bound = msgspec.structs.asdict(self) | {"action": action, "labels": labels.split()}
        return sha256(canonical(bound)).hexdigest()


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, and what was answered so far."""

    id: ApprovalId
    action: ActionId
    digest: str
    labels: str
    state: State
    incarnation: str
    answered_by: str | None = None
    because: str | None = None
    spent_by: str | None = None


class Spend(msgspec.Struct, frozen=True):
    """It is good for this action: spend it."""

    approval: ApprovalId


class Wait(msgspec.Struct, frozen=True):
    """It was asked, and nobody has answered yet."""

    approval: ApprovalId
    action: ActionId


class Ask(msgspec.Struct, frozen=True):
    """Nothing that was answered is good for this action: ask."""


class Refuse(msgspec.Struct, frozen=True):
    """The answer was no, or what was named is not good for this."""

    verdict: Verdict


Judgement: TypeAlias = Spend | Wait | Ask | Refuse


def judge(found: Approval | None, subject: Subject, *, incarnation: str, named: bool) -> Judgement:
    """What the approval found for a held action makes of it.

    An approval that the caller named and that is not good for this action refuses it: another card
    would hide the mistake. One found by itself only counts if it fits.
    """
    if found is None:
        return _unfit("approval:unknown", "this run has no such approval", named=named)
    if found.incarnation != incarnation:
        return _unfit("approval:void", "it was asked before a restore", named=named)
    if found.digest != subject.digest(action=found.action, labels=found.labels):
        return _unfit("approval:other", "it was given for another call", named=named)
    match found.state:
        case "granted":
            return Spend(found.id)
        case "waiting":
            return Wait(found.id, found.action)
        case "denied":
            return Refuse(deny("approval:denied", _denial(found)))
        case "spent":
            because = f"it was used by action {found.spent_by}"
            return _unfit("approval:spent", because, named=named)
        case "lapsed":
            return _unfit("approval:lapsed", "its run has ended", named=named)


def _unfit(rule: str, because: str, *, named: bool) -> Judgement:
    return Refuse(deny(rule, f"the approval is not good for this: {because}")) if named else Ask()


def _denial(found: Approval) -> str:
    said = f": {found.because}" if found.because else ""
    return f"`{found.answered_by}` has denied this call ({found.id}){said}"


def shown_state(state: State, *, is_current: bool) -> ShownState:
    """A state as people are told it; `is_current` says that nothing was restored since."""
    return state if is_current or state in ("denied", "spent", "lapsed") else "void"
