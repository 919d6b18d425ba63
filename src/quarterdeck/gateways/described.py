"""What agents ask for under `/v1`, described for programs: OpenAPI 3.1, beside the API's own.

Bodies that are sent are described by the structs that read them; answers by the structs here, which
schemathesis compares with what is answered. What every route shares (who is refused, what is too
large) the API's description adds. Deliberately absent: the vendors' wires and MCP, which others
describe.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from quarterdeck.domain.verdicts import Answer, Reason
from quarterdeck.gateways.actions import AdmitBody, ReceiptBody
from quarterdeck.gateways.plans import PlanBody

_REFERENCE: Final = "#/components/schemas/{name}"
_FAILURE: Final = {"$ref": "#/components/schemas/FailureShown"}
_NOTE: Final = {"tool": "file_note", "arguments": {"text": "a"}}
_RULE: Final = {"rule": "grant:tool:file_note", "because": "the agent `clerk` may use it"}


class ActionCleared(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Do it now, or at least not after `not_after`, which is in microseconds since 1970."""

    action: str
    answer: Literal["cleared"]
    not_after: int
    reasons: list[Reason]


class ActionDone(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """It was asked for under this key before, and this is what came of it."""

    action: str
    answer: Literal["done"]
    status: str
    result: Any


class ActionSuggested(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """It was recorded for people, and not done."""

    action: str
    answer: Literal["suggested"]
    reasons: list[Reason]
    next: str


class ActionFailure(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it may not be done, in the words of the one error shape."""

    code: Literal["denied", "budget_exceeded", "approval_required", "in_doubt"]
    message: str
    hint: str


class ActionRefused(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule denied it."""

    error: ActionFailure
    action: str
    answer: Literal["refused"]
    reasons: list[Reason]


class ActionHeld(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A person must answer first; `approval` is what they are asked."""

    error: ActionFailure
    action: str
    answer: Literal["held"]
    reasons: list[Reason]
    approval: str
    next: str


class ActionInDoubt(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """It was asked for under this key before, and nobody has said what came of it."""

    error: ActionFailure
    action: str
    answer: Literal["in_doubt"]


class ReceiptTaken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The action is settled."""

    action: str
    answer: Literal["done"]
    status: Literal["done", "failed"]


class CallJudged(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What would become of one call, and by which rules."""

    number: int
    tool: str
    answer: Answer
    reasons: list[Reason]


class PlanJudged(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A plan: `valid` if nothing of it is denied. No call was made."""

    plan: str
    answer: Literal["valid", "invalid"]
    digest: str
    calls: list[CallJudged]


class CallCarried(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What became of one call; what followed the first that was not done is `not_attempted`."""

    number: int
    tool: str
    state: Literal["done", "failed", "refused", "held", "suggested", "in_doubt", "not_attempted"]
    action: str | msgspec.UnsetType = msgspec.UNSET
    result: Any = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    approval: str | msgspec.UnsetType = msgspec.UNSET
    reasons: list[Reason] | msgspec.UnsetType = msgspec.UNSET


class PlanCarried(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A plan that was carried out, up to the first call that was not done."""

    plan: str
    state: Literal["done", "stopped"]
    calls: list[CallCarried]


def description(*, served: bool, url: str | None = None) -> dict[str, Any]:
    """These routes as part of an OpenAPI document: of the process that serves them, or elsewhere.

    Elsewhere they are at the gateway's `url`; without one nobody here knows where they are.
    """
    if not served and not url:
        return {}
    kinds = (
        *(AdmitBody, ReceiptBody, PlanBody, ActionCleared, ActionDone, ActionSuggested),
        *(ActionRefused, ActionHeld, ActionInDoubt, ReceiptTaken, PlanJudged, PlanCarried),
    )
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    where = {} if served else {"servers": [{"url": url, "description": "the gateway"}]}
    return {
        "paths": {path: {"post": where | operation} for path, operation in _paths().items()},
        "components": {"schemas": schemas},
    }


def _paths() -> dict[str, dict[str, Any]]:
    return {
        "/v1/actions": _admission(),
        "/v1/actions/{action}/receipt": _receipt(),
        "/v1/plans": _judgement(),
        "/v1/plans/{plan}/carry-out": _carrying_out(),
    }


def _admission() -> dict[str, Any]:
    held = {"action": "act_01m7z", "answer": "held", "approval": "apr_01m7z", "reasons": [_RULE]}
    failure = {"code": "approval_required", "message": "a person must answer first", "hint": ""}
    return _operation(
        "actions",
        "admit_action",
        "Ask for an action whose effect is in the agent's own process; then send its receipt.",
        body=(AdmitBody, {"a call": {**_NOTE, "idempotency_key": "note-17"}}),
        answers={
            "200": ("It was done before.", ActionDone),
            "201": ("Cleared: do it.", ActionCleared),
            "202": ("Recorded for people, and not done.", ActionSuggested),
        },
        failures={
            "403": (
                "Denied, or held for a person; or the sender may not ask.",
                (ActionRefused, ActionHeld),
                {"error": failure, **held, "next": "go on with other work"},
            ),
            "409": (
                "Asked before, and nobody knows what came of it; or the key was used otherwise.",
                (ActionInDoubt,),
                None,
            ),
        },
    )


def _receipt() -> dict[str, Any]:
    return _operation(
        "actions",
        "settle_action",
        "Say what came of an action that was cleared. A receipt is taken once.",
        takes=("action", "The action's id."),
        body=(
            ReceiptBody,
            {
                "it was done": {"status": "done", "result": {"filed": 1}},
                "it failed": {"status": "failed", "error": "the disk is full"},
            },
        ),
        answers={"200": ("Settled.", ReceiptTaken)},
    )


def _judgement() -> dict[str, Any]:
    return _operation(
        "plans",
        "judge_plan",
        "Judge a list of calls, in order; none of them is made.",
        body=(PlanBody, {"two calls": {"calls": [_NOTE, _NOTE]}}),
        answers={"201": ("Judged.", PlanJudged)},
    )


def _carrying_out() -> dict[str, Any]:
    return _operation(
        "plans",
        "carry_out_plan",
        "Make a plan's calls in order, up to the first that is not done; harmless to repeat.",
        takes=("plan", "The plan's id."),
        answers={"200": ("What became of each call.", PlanCarried)},
    )


def _operation(
    tag: str,
    name: str,
    words: str,
    *,
    answers: Mapping[str, tuple[str, Any]],
    failures: Mapping[str, tuple[str, tuple[Any, ...], Any]] | None = None,
    takes: tuple[str, str] | None = None,
    body: tuple[Any, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "tags": [tag],
        "summary": name.replace("_", " ").title(),
        "description": words,
        "operationId": name,
        "security": [{"run": []}],
        "x-roles": ["run"],
        "responses": {
            status: {"description": words, "content": _json(_schema_of(kind))}
            for status, (words, kind) in answers.items()
        },
    }
    for status, (words, kinds, example) in (failures or {}).items():
        schema = {"anyOf": [_FAILURE, *map(_schema_of, kinds)]}
        shown = {} if example is None else {"example": example}
        made["responses"][status] = {"description": words, "content": _json(schema, **shown)}
    if takes is not None:
        named, words = takes
        an_id = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^/\\x00]+$"}
        made["parameters"] = [
            {"name": named, "in": "path", "required": True, "schema": an_id, "description": words}
        ]
    if body is not None:
        examples = {said: {"value": value} for said, value in body[1].items()}
        content = _json(_schema_of(body[0]), examples=examples)
        made["requestBody"] = {"required": True, "content": content}
    return made


def _schema_of(kind: Any) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _json(schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **more}}
