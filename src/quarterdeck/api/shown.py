"""Nouns as they are answered: one class each, made `of` what a service says."""

from collections.abc import Mapping
from typing import Any, Final

from quarterdeck.api.wire import Shown, moment, time_of
from quarterdeck.domain.money import usd
from quarterdeck.fleet.diff import Change

_SAME: Final = (
    "id", "run", "agent", "team", "revision", "kind", "target", "mark", "state", "answer",
    "reasons", "labels", "digest", "idempotency_key", "cost_nanousd", "held_nanousd", "usage",
    "usage_source", "price_version", "detail",
)  # fmt: skip


def whole(total: Any) -> int:
    """A sum as a database answers it: none over no rows, a decimal on PostgreSQL."""
    return int(total or 0)


class ModelShown(Shown):
    """A model an agent may use."""

    role: str
    vendor: str
    model: str


class CapShown(Shown):
    """A cap; `usd` says an amount of money in USD."""

    unit: str
    per: str
    amount: int
    usd: str | None

    @classmethod
    def of(cls, cap: Mapping[str, Any]) -> "CapShown":
        """From what the service lists."""
        money = usd(cap["amount"]) if cap["unit"] == "nanousd" else None
        return cls(**cap, usd=money)


class AgentShown(Shown):
    """An agent in the list."""

    name: str
    team: str
    owner: str
    purpose: str
    autonomy: str
    critical: bool
    revision: str
    models: list[ModelShown]
    tools: list[str]
    caps: list[CapShown]


class ToolShown(Shown):
    """A tool an agent may call."""

    name: str
    effect: str
    trust: str
    description: str


class AgentDetail(Shown):
    """An agent with its card of permissions."""

    name: str
    team: str
    owner: str
    purpose: str
    autonomy: str
    critical: bool
    revision: str
    models: list[ModelShown]
    tools: list[ToolShown]
    caps: list[CapShown]
    card: str
    prompt: str


class KeyShown(Shown):
    """A key, without its secret; `hint` is how it ends."""

    id: str
    agent: str
    hint: str
    issued_at: str
    expires_at: str | None
    revoked_at: str | None
    rotated_to: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "KeyShown":
        """From a key's row."""
        return cls(
            id=row["id"],
            agent=row["agent"],
            hint=row["hint"],
            issued_at=moment(row["issued_at"]),
            expires_at=time_of(row["expires_at"]),
            revoked_at=time_of(row["revoked_at"]),
            rotated_to=row["rotated_to"],
        )


class KeyIssued(Shown):
    """A new key; `secret` is shown this once."""

    id: str
    agent: str
    secret: str
    expires_at: str | None


class RunStarted(Shown):
    """A run that was started, and how it ended if that was waited for."""

    id: str
    agent: str
    revision: str
    kind: str
    state: str
    credential: str | None = None
    because: str | None = None
    result: dict[str, Any] | None = None


class RunShown(Shown):
    """A run in the list, with its totals."""

    id: str
    agent: str
    team: str
    revision: str
    state: str
    kind: str
    started_by: str
    started_at: str
    ended_at: str | None
    because: str | None
    actions: int
    refused: int
    open: int
    cost_nanousd: int
    cost_usd: str

    @classmethod
    def fields_of(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """What every view of a run has, from what the service answers."""
        same = ("id", "agent", "team", "revision", "state", "kind", "started_by", "because")
        cost = whole(row["cost_nanousd"])
        return {
            **{name: row[name] for name in same},
            "started_at": moment(row["started_at"]),
            "ended_at": time_of(row["ended_at"]),
            **{name: whole(row[name]) for name in ("actions", "refused", "open")},
            "cost_nanousd": cost,
            "cost_usd": usd(cost),
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "RunShown":
        """From what the service lists."""
        return cls(**cls.fields_of(row))


class RunDetail(RunShown):
    """A run with its input and its result, both redacted."""

    correlation: str
    labels: list[str]
    deadline: str
    input: Any
    result: Any

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "RunDetail":
        """From what the service shows."""
        more = {name: row[name] for name in ("correlation", "labels", "input", "result")}
        return cls(**cls.fields_of(row), **more, deadline=moment(row["deadline"]))


class ReasonShown(Shown):
    """A rule that spoke, and what it said."""

    rule: str
    because: str


class ActionShown(Shown):
    """An action: what was asked, what the checkpoint answered, what came of it."""

    id: str
    run: str
    agent: str
    team: str
    revision: str
    kind: str
    target: str
    mark: str
    state: str
    answer: str
    reasons: list[ReasonShown]
    labels: list[str]
    digest: str
    idempotency_key: str | None
    proposed_at: str
    settled_at: str | None
    cost_nanousd: int
    cost_usd: str
    held_nanousd: int
    held_usd: str
    usage: dict[str, int] | None
    usage_source: str | None
    price_version: str | None
    detail: dict[str, Any]

    @classmethod
    def fields_of(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """What every view of an action has, from what the service answers."""
        return {
            **{name: row[name] for name in _SAME},
            "proposed_at": moment(row["proposed_at"]),
            "settled_at": time_of(row["settled_at"]),
            "cost_usd": usd(row["cost_nanousd"]),
            "held_usd": usd(row["held_nanousd"]),
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ActionShown":
        """From what the service lists."""
        return cls(**cls.fields_of(row))


class ActionDetail(ActionShown):
    """An action with its redacted request and answer."""

    request: Any
    response: Any

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ActionDetail":
        """From what the service shows."""
        return cls(**cls.fields_of(row), request=row["request"], response=row["response"])


class CostShown(Shown):
    """What was charged, under the words it was summed by."""

    day: str | None = None
    team: str | None = None
    agent: str | None = None
    kind: str | None = None
    target: str | None = None
    actions: int
    failed: int
    refused: int
    cost_nanousd: int
    cost_usd: str
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "CostShown":
        """From a row of the summary."""
        groups = ("day", "team", "agent", "kind", "target")
        words = {name: row[name] for name in groups if name in row}
        counted: dict[str, Any] = {n: whole(row[n]) for n in row if n not in groups}
        return cls(**words, **counted, cost_usd=usd(counted["cost_nanousd"]))


class CostsShown(Shown):
    """Charges of some days."""

    by: list[str]
    days: int
    items: list[CostShown]


class BudgetShown(Shown):
    """A window of a cap; amounts are in `unit`, and in `usd` as USD where that is money."""

    id: str
    scope: str
    unit: str
    per: str
    starts: str
    cap: int | None
    charged: int
    held: int
    overrun: int
    room: int | None
    usd: dict[str, str | None] | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "BudgetShown":
        """From what the service lists; the id says the rest."""
        scope, unit, per, starts = row["id"].rsplit("/", 3)
        amounts = {name: row[name] for name in ("cap", "charged", "held", "overrun", "room")}
        money = {name: None if a is None else usd(a) for name, a in amounts.items()}
        said = money if unit == "nanousd" else None
        return cls(
            id=row["id"], scope=scope, unit=unit, per=per, starts=starts, usd=said, **amounts
        )


class ChangeShown(Shown):
    """What applying a fleet changes, for one noun."""

    noun: str
    name: str
    kind: str
    details: list[str]

    @classmethod
    def of(cls, change: Change) -> "ChangeShown":
        """From a change."""
        return cls(
            noun=change.noun, name=change.name, kind=change.kind, details=list(change.details)
        )


class AppliedShown(Shown):
    """A fleet that is in force now, or would be; no changes means it was already."""

    name: str
    version: str
    dry_run: bool
    changes: list[ChangeShown]


class FleetShown(Shown):
    """The fleet in force."""

    name: str
    version: str
    agents: list[str]
    tools: list[str]
    vendors: list[str]
    teams: list[str]
    people: list[dict[str, str]]


class SecretShown(Shown):
    """A secret's name; its value is never shown."""

    name: str
    set_at: str


class HeadShown(Shown):
    """The newest signed head, and how many leaves it does not cover yet."""

    note: str
    origin: str
    public_key: str
    size: int
    root: str
    at: str
    unsealed: int


class VerificationShown(Shown):
    """What was checked and what is wrong; `ok` means nothing is."""

    ok: bool
    origin: str
    public_key: str
    leaves: int
    unsealed: int
    writers: int
    heads: int
    bodies_checked: int
    bodies_absent: int
    problems: list[str]
    problems_count: int


class LeafShown(Shown):
    """A leaf, its body, and the hashes from it to the root."""

    index: int
    data: str
    body: str | None
    nonce: str | None
    proof: list[str]


class ProofShown(Shown):
    """Leaves about a subject, with the signed head they lead to."""

    subject: str
    public_key: str
    head: str
    size: int
    root: str
    leaves: list[LeafShown]


class CheckShown(Shown):
    """One thing that was looked at; `do` says what to do where it is not `ok`."""

    name: str
    state: str
    found: str
    do: str


class HealthShown(Shown):
    """Everything that was looked at; `state` is the worst: fail, warn, unknown or ok."""

    state: str
    checks: list[CheckShown]


class BackupShown(Shown):
    """A backup that was made, and the ledger's head in it."""

    file: str
    bytes: int
    sha256: str
    made_at: str
    actions: int
    leaves: int
    head: str | None
    head_size: int
    public_key: str
