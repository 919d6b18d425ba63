"""Actions whose effect runs in the agent's own process: admit, then a receipt (SPEC IN-6).

`POST /v1/actions` asks; `POST /v1/actions/{id}/receipt` says what came of it. Such actions are
marked `cooperative`: they are decided, reserved, charged and recorded, and nothing but the agent's
honesty ties the effect to them. One whose receipt never comes is in doubt, and swept.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson
import rfc8785

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.doubt import reopened
from quarterdeck.domain.actions import (
    Content,
    Done,
    Held,
    InDoubt,
    Proposal,
    Receipt,
    Refused,
    Suggested,
)
from quarterdeck.domain.errors import Conflict, Invalid, NotFound
from quarterdeck.domain.tools import Tool
from quarterdeck.gateways.bodies import answered, parsed
from quarterdeck.gateways.llm import headers
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.store import actions

WAITING: Final = (
    "a person must answer first: go on with other work, or ask for the same call again later"
)
SUGGESTED: Final = (
    "recorded as a suggestion for people; it was not done: finish without it, and say so"
)


class AdmitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to ask for: a granted tool, its arguments, and a key that makes a repeat harmless.

    `approval` is what a call that was held waits for; the one of this call is found without it.
    """

    tool: str
    arguments: dict[str, Any]
    idempotency_key: str | None = None
    approval: str | None = None


class ReceiptBody(msgspec.Struct, forbid_unknown_fields=True):
    """What came of it."""

    status: str
    result: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsGateway:
    """Admits cooperative actions and takes their receipts."""

    checkpoint: Checkpoint

    async def admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/actions`."""
        await answered(scope, receive, send, self._admit)

    async def receipt(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/actions/{id}/receipt`."""
        await answered(scope, receive, send, self._receipt)

    async def _admit(self, scope: Scope, body: bytes) -> tuple[int, dict[str, Any]]:
        asked = parsed(body, AdmitBody)
        arguments = _canonical(asked.arguments)
        admission = await self.checkpoint.admit(
            Proposal(
                credential=headers.credential_of(scope),
                kind="tool",
                target=asked.tool,
                arguments=arguments,
                content=Content(rest=arguments),
                mark="cooperative",
                idempotency_key=asked.idempotency_key,
                approval=asked.approval,
            )
        )
        shown: dict[str, Any] = {"action": admission.action.id}
        if isinstance(admission, Done):
            shown |= {"answer": "done", "status": admission.receipt.status}
            return 200, shown | {"result": _json(admission.receipt.result)}
        if isinstance(admission, InDoubt):
            return 409, shown | {"answer": "in_doubt"}
        shown["reasons"] = [
            {"rule": r.rule, "because": r.because} for r in admission.verdict.reasons
        ]
        if isinstance(admission, Held):
            return 403, shown | {"answer": "held", "approval": admission.approval, "next": WAITING}
        if isinstance(admission, Suggested):
            return 202, shown | {"answer": "suggested", "next": SUGGESTED}
        if isinstance(admission, Refused):
            return 403, shown | {"answer": "refused"}
        return 201, shown | {"answer": "cleared", "not_after": admission.not_after}

    async def _receipt(self, scope: Scope, body: bytes) -> tuple[int, dict[str, Any]]:
        told = parsed(body, ReceiptBody)
        if told.status not in ("done", "failed"):
            raise Invalid(f"`{told.status}` is not a status", hint="use `done` or `failed`")
        identity = await self.checkpoint.identify(headers.credential_of(scope))
        action = scope["path_params"]["action"]
        row = await self.checkpoint.db.read(lambda tx: actions.find(tx, action))
        if row is None or row["run"] != identity.run or row["mark"] != "cooperative":
            raise NotFound(f"no action `{action}` of this run that awaits a receipt")
        if not actions.is_open(row):
            raise Conflict(f"action `{action}` was settled before", hint="a receipt is taken once")
        cleared = await reopened(self.checkpoint, row, b"")
        assert isinstance(cleared.contract, Tool)
        result = b"" if told.result is None else orjson.dumps(told.result)
        receipt = Receipt(
            status="done" if told.status == "done" else "failed",
            result=result,
            content=Content(rest=result),
            cost_nanousd=cleared.contract.cost_nanousd,
            detail={"error": told.error[:500]} if told.error else {},
        )
        done = await self.checkpoint.settle(cleared, receipt)
        return 200, {"action": action, "answer": "done", "status": done.receipt.status}


def _canonical(arguments: dict[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(arguments)
    except rfc8785.CanonicalizationError as error:
        hint = "send numbers within ±2^53, others as text; UTF-8 without lone surrogates"
        raise Invalid(f"the arguments cannot be signed for: {error}", hint=hint) from error


def _json(body: bytes) -> Any:
    return orjson.loads(body) if body else None
