"""Plans over HTTP: a whole list of calls judged first, then carried out in order (SPEC OR-7).

`POST /v1/plans` says of each call what would become of it and makes none;
`POST /v1/plans/{plan}/carry-out` makes them, up to the first that is not done. A run's credential
is good for its own plans. Repeating either is harmless: nothing that was done is done again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
import rfc8785

from quarterdeck.checkpoint import plans
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.plans import Carried, results_of, state_of
from quarterdeck.domain.actions import Done, Held, InDoubt, Outcome, Refused, Suggested
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import PLAN_STEPS_MAX
from quarterdeck.domain.plans import Step
from quarterdeck.domain.verdicts import Verdict
from quarterdeck.gateways.actions import ArgumentsGiven, KeyGiven, ToolAsked
from quarterdeck.gateways.bodies import answered, parsed
from quarterdeck.gateways.llm import headers
from quarterdeck.gateways.llm.body import Receive, Scope, Send

#: Carries out the plan of the run with this credential, to its end, though its asker hangs up.
CarryPlan: TypeAlias = Callable[[str, str], Awaitable[Carried]]


class CallBody(msgspec.Struct, forbid_unknown_fields=True):
    """One call: a granted tool, its arguments, and a key if the caller has one."""

    tool: ToolAsked
    arguments: ArgumentsGiven
    idempotency_key: KeyGiven | None = None


class PlanBody(msgspec.Struct, forbid_unknown_fields=True):
    """The calls, in order."""

    calls: Annotated[
        list[CallBody],
        msgspec.Meta(extra_json_schema={"minItems": 1, "maxItems": PLAN_STEPS_MAX}),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansGateway:
    """Judges plans and carries them out."""

    checkpoint: Checkpoint
    carry: CarryPlan

    async def judge(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/plans`."""
        await answered(scope, receive, send, self._judge, self.checkpoint.identify)

    async def carry_out(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/plans/{plan}/carry-out`."""
        await answered(scope, receive, send, self._carry_out, self.checkpoint.identify)

    async def _judge(self, scope: Scope, body: bytes) -> tuple[int, dict[str, Any]]:
        asked = parsed(body, PlanBody)
        steps = [_step(number, call) for number, call in enumerate(asked.calls, 1)]
        judged = await plans.judge(self.checkpoint, headers.credential_of(scope), steps)
        shown = [
            {"number": step.number, "tool": step.target, **_verdict(verdict)}
            for step, verdict in zip(steps, judged.verdicts, strict=True)
        ]
        return 201, {
            "plan": judged.id,
            "answer": judged.answer,
            "digest": judged.digest,
            "calls": shown,
        }

    async def _carry_out(self, scope: Scope, body: bytes) -> tuple[int, dict[str, Any]]:
        if body.strip() not in (b"", b"{}"):
            raise Invalid("carrying out takes no body", hint="the plan says what to do")
        plan = scope["path_params"]["plan"]
        carried = await self.carry(headers.credential_of(scope), plan)
        shown = [
            {"number": step.number, "tool": step.target, **_outcome(outcome)}
            for step, outcome in zip(carried.steps, carried.outcomes, strict=False)
        ]
        shown += [
            {"number": step.number, "tool": step.target, "state": "not_attempted"}
            for step in carried.steps[len(shown) :]
        ]
        done = all(call["state"] == "done" for call in shown)
        return 200, {"plan": carried.id, "state": "done" if done else "stopped", "calls": shown}


def _step(number: int, call: CallBody) -> Step:
    try:
        arguments = rfc8785.dumps(call.arguments)
    except rfc8785.CanonicalizationError as error:
        hint = "send numbers within ±2^53, others as text; UTF-8 without lone surrogates"
        raise Invalid(f"the arguments of call {number}: {error}", hint=hint) from error
    return Step(
        number=number,
        target=call.tool,
        arguments=arguments,
        idempotency_key=call.idempotency_key,
    )


def _verdict(verdict: Verdict) -> dict[str, Any]:
    reasons = [{"rule": r.rule, "because": r.because} for r in verdict.reasons]
    return {"answer": verdict.answer, "reasons": reasons}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    shown: dict[str, Any] = {"state": state_of(outcome), "action": outcome.action.id}
    match outcome:
        case Done(receipt=receipt):
            error = {"error": str(receipt.detail["error"])} if "error" in receipt.detail else {}
            return shown | {"result": results_of(outcome)} | error
        case Held(verdict=verdict, approval=approval):
            return shown | {"approval": approval, "reasons": _verdict(verdict)["reasons"]}
        case Refused(verdict=verdict) | Suggested(verdict=verdict):
            return shown | {"reasons": _verdict(verdict)["reasons"]}
        case InDoubt():
            return shown
