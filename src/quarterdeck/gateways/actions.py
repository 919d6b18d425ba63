"""Actions whose effect runs in the agent's own process: admit, then a receipt (SPEC IN-6).

`POST /v1/actions` asks; `POST /v1/actions/{id}/receipt` says what came of it. Such actions are
marked `cooperative`: they are decided, reserved, charged and recorded, and nothing but the agent's
honesty ties the effect to them. One whose receipt never comes is in doubt, and swept.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

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
from quarterdeck.domain.limits import IDEMPOTENCY_KEY_CHARACTERS_MAX, JSON_DEPTH_MAX
from quarterdeck.domain.tools import Tool
from quarterdeck.gateways.bodies import answered, parsed
from quarterdeck.gateways.llm import headers
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.gateways.llm.errors import of_outcome
from quarterdeck.store import actions

WAITING: Final = (
    "a person must answer first: go on with other work, or ask for the same call again later"
)
SUGGESTED: Final = (
    "recorded as a suggestion for people; it was not done: finish without it, and say so"
)


# These say in the description what is checked later, in words that help more than a schema's.
ToolAsked = Annotated[
    str, msgspec.Meta(description="A granted tool.", extra_json_schema={"examples": ["file_note"]})
]
ArgumentsGiven = Annotated[
    dict[str, Any],
    msgspec.Meta(
        description="As the tool's contract says. Numbers beyond ±2^53 do not count alike"
        " everywhere: send them as text."
    ),
]
KeyGiven = Annotated[
    str,
    msgspec.Meta(
        description="Under one key of a run, a call is made once.",
        extra_json_schema={"minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARACTERS_MAX},
    ),
]
_STATUSES: Final = ("done", "failed")


class AdmitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to ask for: a granted tool, its arguments, and a key that makes a repeat harmless.

    `approval` is what a call that was held waits for; the one of this call is found without it.
    """

    tool: ToolAsked
    arguments: ArgumentsGiven
    idempotency_key: KeyGiven | None = None
    approval: Annotated[str, msgspec.Meta(description="Of a call that was held.")] | None = None


class ReceiptBody(msgspec.Struct, forbid_unknown_fields=True):
    """What came of it."""

    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(_STATUSES)})]
    result: Annotated[Any, msgspec.Meta(description="What the tool answered, as JSON.")] = None
    error: Annotated[str, msgspec.Meta(description="Why it failed.")] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsGateway:
    """Admits cooperative actions and takes their receipts."""

    checkpoint: Checkpoint

    async def admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/actions`."""
        await answered(scope, receive, send, self._admit, self.checkpoint.identify)

    async def receipt(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/actions/{id}/receipt`."""
        await answered(scope, receive, send, self._receipt, self.checkpoint.identify)

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
            return 409, shown | {"answer": "in_doubt"} | _failure(admission)
        shown["reasons"] = [
            {"rule": r.rule, "because": r.because} for r in admission.verdict.reasons
        ]
        if isinstance(admission, Held):
            waits = {"answer": "held", "approval": admission.approval, "next": WAITING}
            return 403, shown | waits | _failure(admission, hint=WAITING)
        if isinstance(admission, Suggested):
            return 202, shown | {"answer": "suggested", "next": SUGGESTED}
        if isinstance(admission, Refused):
            return 403, shown | {"answer": "refused"} | _failure(admission)
        return 201, shown | {"answer": "cleared", "not_after": admission.not_after}

    async def _receipt(self, scope: Scope, body: bytes) -> tuple[int, dict[str, Any]]:
        told = parsed(body, ReceiptBody)
        if told.status not in _STATUSES:
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
        result = b"" if told.result is None else _written(told.result)
        receipt = Receipt(
            status="done" if told.status == "done" else "failed",
            result=result,
            content=Content(rest=result),
            cost_nanousd=cleared.contract.cost_nanousd,
            detail={"error": told.error[:500]} if told.error else {},
        )
        done = await self.checkpoint.settle(cleared, receipt)
        return 200, {"action": action, "answer": "done", "status": done.receipt.status}


def _written(result: Any) -> bytes:
    """A result as it is kept; numbers of any size are, and what is too deep to be shown is not."""
    written = msgspec.json.encode(result)
    if written.count(b"[") + written.count(b"{") > JSON_DEPTH_MAX and _is_deep(result):
        hint = "send it flatter, or without `result`"
        raise Invalid(f"`result` is nested deeper than {JSON_DEPTH_MAX} levels", hint=hint)
    return written


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(JSON_DEPTH_MAX + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _failure(outcome: Refused | Held | InDoubt, *, hint: str = "") -> dict[str, Any]:
    """The one error shape, for whoever reads no more than that; the rest stands beside it."""
    failure = of_outcome(outcome)
    return {"error": {"code": failure.code, "message": failure.message, "hint": hint}}


def _canonical(arguments: dict[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(arguments)
    except rfc8785.CanonicalizationError as error:
        hint = "send numbers within ±2^53, others as text; UTF-8 without lone surrogates"
        raise Invalid(f"the arguments cannot be signed for: {error}", hint=hint) from error


def _json(body: bytes) -> Any:
    return orjson.loads(body) if body else None
