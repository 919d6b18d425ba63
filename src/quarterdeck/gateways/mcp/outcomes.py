"""What became of an action, as a client is told it.

A tool that could not be called says so in a result a model can act on; a resource or a prompt in an
error. What does not exist, was not granted, or is in quarantine reads the same.
"""

from collections.abc import Mapping
from typing import Any, Final

from quarterdeck.domain import tool_results
from quarterdeck.domain.actions import Done, Held, InDoubt, Outcome, Receipt, Refused, Suggested
from quarterdeck.domain.mcp import errors
from quarterdeck.domain.mcp.errors import Fault
from quarterdeck.domain.mcp.messages import META_ACTION
from quarterdeck.gateways.mcp.exchange import Answer

META_OUTCOME: Final = "dev.quarterdeck/outcome"
_UNSEEN: Final = ("default:", "quarantine:")
_CODE: Final = {Refused: errors.REFUSED, Held: errors.HELD, Suggested: errors.SUGGESTED}
_WORD: Final = {Refused: "refused", Held: "held", Suggested: "suggested"}
_SAY: Final = {
    "refused": "Not done, and refused by a rule",
    "held": "Not done yet: a person must approve it first",
    "suggested": (
        "Not done, but recorded as a suggestion that a person can carry out. Nothing more is needed"
        " from you: do not try again, and go on or finish"
    ),
    "in_doubt": "It was begun and nobody knows yet whether it took place. Do not repeat it",
}


def of_tool(outcome: Outcome, unknown: Fault, *, raw: bool) -> Answer:
    """A call's outcome as a result; `raw` where the result is an MCP server's own."""
    action = outcome.action.id
    if not isinstance(outcome, Done):
        if _is_unseen(outcome):
            raise unknown
        told = _told(outcome)
        return Answer(tool_results.of_failure(_sentence(told), {META_OUTCOME: told}), action)
    receipt = outcome.receipt
    if receipt.status == "done" or (raw and receipt.status == "failed" and receipt.result):
        result = receipt.result
        return Answer(result if raw else tool_results.of_value(result), action)
    if str(receipt.detail.get("rule", "")).startswith(_UNSEEN):
        raise unknown
    if (error := _error_of(receipt)) is not None:
        raise error
    because = str(receipt.detail.get("error", "it failed and did not say why"))
    told = {"answer": receipt.status, "action": action}
    return Answer(tool_results.of_failure(because, {META_OUTCOME: told}), action)


def of_reading(outcome: Outcome, unknown: Fault) -> Answer:
    """The outcome of a reading, a prompt or a completion as its raw result; else raises Fault."""
    if not isinstance(outcome, Done):
        if _is_unseen(outcome):
            raise unknown
        told = _told(outcome)
        raise Fault(_CODE.get(type(outcome), errors.IN_DOUBT), _sentence(told), told)
    receipt = outcome.receipt
    if receipt.status == "done":
        return Answer(receipt.result, outcome.action.id)
    error = _error_of(receipt)
    because = str(receipt.detail.get("error", "the server did not answer"))
    raise error or Fault(errors.UPSTREAM, because, {META_ACTION: outcome.action.id})


def _is_unseen(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and any(
        reason.rule.startswith(_UNSEEN) for reason in outcome.verdict.reasons
    )


def _told(outcome: Refused | Held | Suggested | InDoubt) -> dict[str, Any]:
    """The outcome as data, for programs."""
    if isinstance(outcome, InDoubt):
        return {"answer": "in_doubt", "action": outcome.action.id, "reasons": []}
    reasons = [{"rule": r.rule, "because": r.because} for r in outcome.verdict.reasons]
    told = {"answer": _WORD[type(outcome)], "action": outcome.action.id, "reasons": reasons}
    if isinstance(outcome, Held) and outcome.approval is not None:
        told["approval"] = outcome.approval
    return told


def _sentence(told: Mapping[str, Any]) -> str:
    """The outcome in words, for models."""
    rules = "; ".join(f"{r['rule']}: {r['because']}" for r in told["reasons"])
    said = _SAY[told["answer"]] + (f". {rules}" if rules else "")
    if "approval" in told:
        said += f". Call again with the same arguments once approval {told['approval']} is granted"
    return f"{said} (action {told['action']})"


def _error_of(receipt: Receipt) -> Fault | None:
    """The error a server answered, as it said it."""
    rpc = receipt.detail.get("rpc")
    if not isinstance(rpc, dict) or not isinstance(rpc.get("code"), int):
        return None
    return Fault(rpc["code"], str(rpc.get("message", "")), rpc.get("data"))
