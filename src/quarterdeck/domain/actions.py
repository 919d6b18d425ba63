"""Actions: what a run proposes, what the checkpoint answers, what came of it.

The evidence types, in the order it is won: Proposal, Action, Verdict, Cleared, Receipt. Only
`checkpoint/` makes a Cleared; nothing reaches the outside for an agent without one.
Times are whole microseconds since the epoch.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from quarterdeck.domain import labels as labelling
from quarterdeck.domain.attempts import Attempt
from quarterdeck.domain.budgets import Bound, Reservation
from quarterdeck.domain.fleets import Dialect, Vendor
from quarterdeck.domain.ids import (
    ActionId,
    AgentName,
    ApprovalId,
    RevisionHash,
    RunId,
    TeamName,
)
from quarterdeck.domain.labels import Labels
from quarterdeck.domain.money import Price, Usage
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import Tool
from quarterdeck.domain.verdicts import Verdict

Kind: TypeAlias = Literal["model", "tool", "resource", "prompt", "elicitation", "sampling"]
#: What may carry an action out: a vendor its models, a tool its contract, a server the rest.
Contract: TypeAlias = Vendor | Tool | Server
Mark: TypeAlias = Literal["enforced", "cooperative", "observed"]
UsageSource: TypeAlias = Literal["reported", "estimated", "none"]
ReceiptStatus: TypeAlias = Literal["done", "failed", "not_attempted"]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request or an answer goes into the record: parts that recur, and the rest.

    A conversation is parts (its messages, as the raw JSON they came in), so that an agent that
    resends it on every turn stores each message once.
    """

    parts: tuple[bytes, ...] = ()
    rest: bytes = b""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds of a model call: input from its bytes, output from its cap."""

    input_max: int
    output_max: int


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where at a vendor a model call goes; its wire makes a path of it (`dialects.path_of`)."""

    wire: str
    model: str
    streamed: bool = False
    #: The version of the vendor's API and the query, where the URL has them: checked by the route.
    version: str = ""
    query: str = ""
    #: The URL says what the body need not: two calls with one body are two calls.
    in_url: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a caller asks to do. Nothing in it is trusted yet."""

    credential: str = field(repr=False)
    kind: Kind
    target: str
    dialect: Dialect | None = None
    address: Address | None = None
    arguments: bytes
    content: Content
    mark: Mark = "enforced"
    tokens: Tokens | None = None
    findings: tuple[Verdict, ...] = ()
    labels: Labels = labelling.NONE
    idempotency_key: str | None = None
    approval: str | None = None
    #: The suggestion that a person carries out with it; no wire can say so.
    suggestion: ActionId | None = None


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal bound to a known run. Its arguments never change again."""

    id: ActionId
    run: RunId
    agent: AgentName
    team: TeamName
    revision: RevisionHash
    kind: Kind
    target: str
    arguments: bytes
    digest: str
    labels: Labels
    mark: Mark
    idempotency_key: str | None
    proposed_at: int
    address: Address | None = None


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """The second vendor entry an action may go to, its model there, and what that costs."""

    contract: Vendor
    model: str
    price: Price


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that this exact action may take effect now. Only the checkpoint makes one."""

    action: Action
    verdict: Verdict
    reservation: Reservation
    contract: Contract
    bound: Bound
    price: Price | None
    approval: str | None
    epoch: int
    incarnation: str
    not_after: int
    #: Of a model call: how large one attempt may be, and who else may be asked.
    tokens: Tokens | None = None
    fallback: Alternative | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an effect says it did."""

    status: ReceiptStatus
    result: bytes
    content: Content = Content()
    usage: Usage | None = None
    usage_source: UsageSource = "none"
    cost_nanousd: int = 0
    detail: dict[str, Any] = {}
    #: Each try of a model call, where there was more than one or the only one was not answered.
    attempts: tuple[Attempt, ...] = ()


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Denied, with the rules that said so."""

    action: Action
    verdict: Verdict


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A person must answer first; proposed again with the approval, it is judged afresh.

    `approval` is what the caller waits for. Proposed again before the answer, it is the same one.
    """

    action: Action
    verdict: Verdict
    approval: ApprovalId | None = None


class Suggested(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded as it would have been done, and not done."""

    action: Action
    verdict: Verdict


class InDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """The effect was cleared and nobody has said yet whether it took place."""

    action: Action


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It took effect, or provably failed, and is settled."""

    action: Action
    receipt: Receipt
    overrun_nanousd: int = 0


Admission: TypeAlias = Cleared | Refused | Held | Suggested | Done | InDoubt
Outcome: TypeAlias = Done | Refused | Held | Suggested | InDoubt
Effect: TypeAlias = Callable[[Cleared], Awaitable[Receipt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFilters:
    """Which actions to list: all that fit every field that says something.

    Times are microseconds: proposed at `since` or later, before `until`.
    """

    run: str = ""
    agent: str = ""
    team: str = ""
    kind: str = ""
    state: str = ""
    since: int = 0
    until: int = 0
