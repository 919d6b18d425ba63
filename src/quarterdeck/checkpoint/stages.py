"""The stages of an admission, one function each. `conclude` decides what happens next."""

import hashlib
from typing import Final

import msgspec

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.checkpoint.estimate import attempts_bound, tool_bound
from quarterdeck.domain import contracts
from quarterdeck.domain.actions import Action, Alternative, Contract, Proposal, Tokens
from quarterdeck.domain.budgets import Bound
from quarterdeck.domain.errors import Invalid, Unidentified
from quarterdeck.domain.fleets import Agent, Model, takes
from quarterdeck.domain.grants import permits
from quarterdeck.domain.ids import ActionId, ServerName, ToolName
from quarterdeck.domain.limits import (
    ERROR_CHARACTERS_MAX,
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    RUN_CREDENTIAL_SECONDS,
    TARGET_CHARACTERS_MAX,
)
from quarterdeck.domain.money import Price
from quarterdeck.domain.runs import RunIdentity
from quarterdeck.domain.tools import Tool
from quarterdeck.domain.verdicts import Reason, Verdict, allow, deny, strictest
from quarterdeck.fleet.contracts import arguments_misfit
from quarterdeck.store.database import Row
from quarterdeck.store.standing import Standing

UNKNOWN_CREDENTIAL: Final = "this credential is not known, has expired or was revoked"
UNKNOWN_HINT: Final = "start a run with `quarterdeck runs start` and use its credential"
_WRITES: Final = ("write", "privileged")
_ARGUMENTS_FIT: Final = allow("contract:arguments", "the arguments fit the contract")
_NOTHING_FROZEN: Final = allow("standing", "nothing it is part of is frozen")


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What contract and grants say, before the transaction: a verdict, and terms to act under."""

    verdict: Verdict
    contract: Contract | None = None
    price: Price | None = None
    bound: Bound | None = None
    tokens: Tokens | None = None
    fallback: Alternative | None = None


def bind(proposal: Proposal, identity: RunIdentity, *, action: ActionId, now: int) -> Action:
    """The proposal as an action of a known run. From here on its arguments never change."""
    key = proposal.idempotency_key
    if key is not None and not 1 <= len(key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX:
        raise Invalid(
            "the idempotency key is empty or too long",
            hint=f"use 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters",
        )
    return Action(
        id=action,
        run=identity.run,
        agent=identity.agent,
        team=identity.team,
        revision=identity.revision,
        kind=proposal.kind,
        target=proposal.target,
        arguments=proposal.arguments,
        digest=_digest(proposal),
        labels=proposal.labels,
        mark=proposal.mark,
        idempotency_key=key,
        proposed_at=now,
        address=proposal.address,
    )


def _digest(proposal: Proposal) -> str:
    """What makes two calls the same: the bytes sent, and what only their URL says."""
    hashed = hashlib.sha256(proposal.arguments)
    if proposal.address is not None and proposal.address.in_url:
        hashed.update(msgspec.json.encode(proposal.address))
    return hashed.hexdigest()


def rule_model(proposal: Proposal, binding: Binding) -> Ruling:
    """Whether the agent may use this model. It names the model; the fleet names the vendor."""
    for model in binding.agent.models:
        vendor = binding.fleet.vendors[model.vendor]
        if model.model == proposal.target and takes(vendor.dialect, proposal.dialect):
            if proposal.tokens is None:
                return Ruling(verdict=deny("error:bound", "the call's size has no upper bound"))
            price = vendor.prices.get(model.model)
            if price is None:
                return Ruling(verdict=deny("error:price", f"`{model.model}` has no price"))
            fallback = _fallback(model, proposal, binding)
            return Ruling(
                verdict=allow(f"grant:model:{model.role}", f"the agent's {model.role} model"),
                contract=vendor,
                price=price,
                bound=attempts_bound(price, fallback, proposal.tokens),
                tokens=proposal.tokens,
                fallback=fallback,
            )
    may = ", ".join(f"`{m.model}`" for m in binding.agent.models) or "none"
    return Ruling(
        verdict=deny(
            "default:model",
            f"the agent `{binding.agent.name}` may not use the model `{_shown(proposal)}`"
            f" on this route; it may use {may}",
        )
    )


def _fallback(model: Model, proposal: Proposal, binding: Binding) -> Alternative | None:
    """The declared second entry, where it takes requests of this route and has a price."""
    if model.fallback is None:
        return None
    vendor = binding.fleet.vendors[model.fallback.vendor]
    price = vendor.prices.get(model.fallback.model)
    if price is None or not takes(vendor.dialect, proposal.dialect):
        return None
    return Alternative(contract=vendor, model=model.fallback.model, price=price)


def _shown(proposal: Proposal) -> str:
    return proposal.target[:TARGET_CHARACTERS_MAX]


def rule_tool(proposal: Proposal, binding: Binding) -> Ruling:
    """Grants and contract of a tool. Unknown and not granted read the same: there is no oracle."""
    tool = granted_tool(proposal.target, binding)
    if tool is None:
        return Ruling(
            verdict=deny(
                "default:tool", f"the agent `{binding.agent.name}` has no tool `{_shown(proposal)}`"
            )
        )
    return Ruling(
        verdict=strictest(
            autonomy_verdict(binding.agent, tool), _arguments_verdict(tool, proposal)
        ),
        contract=tool,
        bound=tool_bound(tool),
    )


def granted_tool(name: str, binding: Binding) -> Tool | None:
    """The tool of this name, if the agent has it: who lists tools asks this too."""
    return binding.fleet.tools.get(ToolName(name)) if name in binding.agent.tools else None


def rule_server(proposal: Proposal, binding: Binding) -> Ruling:
    """Whether the agent may use this of an MCP server: a resource, a prompt, or be asked by it.

    The target is the server's name, a slash, and the resource's URI, the prompt's name, or what is
    asked. Unknown and not granted read the same here too.
    """
    server, _, name = proposal.target.partition("/")
    grant = binding.agent.servers.get(ServerName(server))
    if grant is None or not permits(grant, proposal.kind, name):
        return Ruling(
            verdict=deny(
                f"default:{proposal.kind}",
                f"the agent `{binding.agent.name}` has no {proposal.kind} `{_shown(proposal)}`",
            )
        )
    return Ruling(
        verdict=allow(
            f"grant:{proposal.kind}:{server}", f"granted to the agent `{binding.agent.name}`"
        ),
        contract=binding.fleet.servers[ServerName(server)],
        bound=Bound(nanousd=0, tokens=0),
    )


def autonomy_verdict(agent: Agent, tool: Tool) -> Verdict:
    """What the level of autonomy makes of the tool's effect class (PO-2, PO-4)."""
    rule = f"grant:tool:{tool.name}"
    if tool.effect in _WRITES and agent.autonomy == "L0":
        return deny("autonomy:L0", "an agent at L0 only drafts")
    if tool.effect in _WRITES and agent.autonomy == "L1":
        # Before what asks: who only suggests does not act, whatever a person allowed.
        return Verdict("suggest", (Reason("autonomy:L1", "an agent at L1 suggests its writes"),))
    if tool.effect == "privileged":
        return Verdict("ask", (Reason("effect:privileged", "privileged tools always ask"),))
    if tool.confirm:
        return Verdict("ask", (Reason("confirm", "its contract asks for a person each time"),))
    return allow(rule, f"granted to the agent `{agent.name}`")


def _arguments_verdict(tool: Tool, proposal: Proposal) -> Verdict:
    """Whether the arguments are what the contract lets through: their form, then their bounds."""
    arguments = contracts.read(proposal.arguments)
    if isinstance(arguments, str):
        return deny("contract:arguments", arguments)
    misfit = arguments_misfit(tool, arguments, proposal.arguments)
    if misfit is not None:
        where = misfit.where or "the arguments"
        return deny("contract:arguments", f"{where}: {misfit.message}"[:ERROR_CHARACTERS_MAX])
    return contracts.bounds_verdict(tool, arguments, proposal.arguments) or _ARGUMENTS_FIT


def freeze_verdict(action: Action, standing: Standing) -> Verdict:
    """Whether anything the action is part of is frozen."""
    return frozen_verdict(action, action.target, standing)


def frozen_verdict(who: Action | RunIdentity, target: str, standing: Standing) -> Verdict:
    """Whether a run's use of a target is frozen: who lists tools asks this too."""
    if not standing.frozen:
        return _NOTHING_FROZEN
    scopes = (
        "fleet",
        f"team:{who.team}",
        f"agent:{who.agent}",
        f"tool:{target}",
        f"tool:{target}@{who.agent}",
        f"run:{who.run}",
    )
    for scope in scopes:
        if scope in standing.frozen:
            return deny(f"freeze:{scope}", f"{scope.replace(':', ' ')} is frozen")
    return _NOTHING_FROZEN


def check_run(row: Row | None, now: int) -> None:
    """Whether the run's credential is still good: asked in the admission's own transaction."""
    if (
        row is None
        or row["state"] != "running"
        or row["credential_until"] <= now
        or row["incarnation"] != row["incarnation_now"]
    ):
        raise Unidentified(
            UNKNOWN_CREDENTIAL,
            hint="start a run with `quarterdeck runs start` and use its credential",
        )


def renews_credential(row: Row, now: int) -> bool:
    """Whether the credential is past half its life and may live longer."""
    until: int = row["credential_until"]
    half = RUN_CREDENTIAL_SECONDS * 500_000
    return until - now < half and until < row["deadline"]
