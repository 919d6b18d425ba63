"""The plain runner: model call, tool calls, outcome. One run from its input to its end.

Not durable yet: a killed process leaves the run to be ended by its deadline. What it does goes
through the checkpoint like anybody else's, in process and without a shortcut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
import rfc8785

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.domain.actions import (
    Address,
    Content,
    Done,
    Held,
    InDoubt,
    Outcome,
    Proposal,
    Suggested,
)
from quarterdeck.domain.dialects import (
    SPOKEN,
    AssistantTurn,
    ToolCall,
    ToolDefinition,
    ToolTurn,
    Turn,
    UserTurn,
)
from quarterdeck.domain.dialects.wire import SpokenWire
from quarterdeck.domain.fleets import Model
from quarterdeck.domain.ids import ToolName
from quarterdeck.domain.runs import RunOutcome
from quarterdeck.domain.tool_results import readable
from quarterdeck.domain.tools import McpBackend
from quarterdeck.fleet.builtin import ESCALATE
from quarterdeck.upstream.models.call import ModelCall
from quarterdeck.upstream.tools.call import ToolCalls

MAIN: Final = "main"


class Started(Protocol):
    """What the runner needs to know of a run."""

    @property
    def credential(self) -> str:
        """The run's credential."""

    @property
    def binding(self) -> Binding:
        """Its agent, at its revision."""


@dataclass(frozen=True, slots=True)
class _Ended:
    outcome: RunOutcome


@dataclass(frozen=True, slots=True)
class Runner:
    """Drives runs."""

    checkpoint: Checkpoint
    models: ModelCall
    tools: ToolCalls

    async def drive(self, started: Started, given: Mapping[str, Any]) -> RunOutcome:
        """Work until the model has nothing left to call, or something ends the run."""
        binding = started.binding
        model = next((m for m in binding.agent.models if m.role == MAIN), None)
        if model is None:
            return RunOutcome(state="failed", because="the agent has no main model")
        wire = SPOKEN[binding.fleet.vendors[model.vendor].dialect]
        turns: list[Turn] = [UserTurn(text=orjson.dumps(dict(given)).decode())]
        said: dict[str, Any] = {"calls": []}
        for _ in range(binding.agent.turns_max):
            answer = await self._ask(started, wire, model, turns)
            if isinstance(answer, _Ended):
                return answer.outcome
            calls = wire.tool_calls(answer)
            if not calls:
                said["text"] = wire.text_of(answer)
                return RunOutcome(state="succeeded", because="the agent finished", result=said)
            turns.append(AssistantTurn(message=wire.message_of(answer)))
            for call in calls:
                ended = await self._use(started, call, turns, said)
                if ended is not None:
                    return ended.outcome
        return RunOutcome(
            state="failed", because=f"no end after {binding.agent.turns_max} turns", result=said
        )

    async def _ask(
        self, started: Started, wire: SpokenWire, model: Model, turns: list[Turn]
    ) -> bytes | _Ended:
        binding = started.binding
        body = wire.compose(
            model.model,
            binding.agent.prompt,
            messages=turns,
            tools=self._definitions(binding),
            parameters=model.parameters,
        )
        dialect = binding.fleet.vendors[model.vendor].dialect
        at = Address(wire=wire.name, model=model.model)
        request = wire.peek(body, binding.allowed(dialect, model.model), at)
        proposal = Proposal(
            credential=started.credential,
            kind="model",
            dialect=dialect,
            address=at,
            target=model.model,
            arguments=request.forward,
            content=request.content,
            tokens=request.tokens,
            findings=request.findings,
        )
        outcome = await self.checkpoint.carry_out(proposal, self.models.ask)
        if isinstance(outcome, Done) and outcome.receipt.status == "done":
            return outcome.receipt.result
        return _Ended(RunOutcome(state="failed", because=f"the model call: {_words(outcome)}"))

    def _definitions(self, binding: Binding) -> list[ToolDefinition]:
        """The tools a model is told of: none that is in quarantine, as in every other list."""
        tools = (binding.fleet.tools[name] for name in binding.agent.tools)
        catalog, servers = self.tools.mcp.catalog, binding.fleet.servers
        return [
            ToolDefinition(name=tool.name, description=tool.description, arguments=tool.arguments)
            for tool in tools
            if catalog.quarantine(tool, servers).answer == "allow"
        ]

    async def _use(
        self, started: Started, call: ToolCall, turns: list[Turn], said: dict[str, Any]
    ) -> _Ended | None:
        """One tool call; what was not carried out is told to the model, which may go on."""
        arguments = _canonical(call.arguments)
        proposal = Proposal(
            credential=started.credential,
            kind="tool",
            target=call.name,
            arguments=arguments,
            content=Content(rest=arguments),
            idempotency_key=f"call:{call.id}" if call.id else None,
        )
        outcome = await self.checkpoint.carry_out(proposal, self.tools.use)
        if isinstance(outcome, InDoubt):
            because = f"nobody knows whether `{call.name}` took place (action {outcome.action.id})"
            return _Ended(RunOutcome(state="failed", because=because, result=said))
        if isinstance(outcome, Done) and outcome.receipt.status == "done":
            given = orjson.loads(arguments)
            said["calls"].append({"tool": call.name, "arguments": given})
            if call.name == ESCALATE.name:
                because = str(given.get("reason", "the agent escalated"))
                return _Ended(RunOutcome(state="escalated", because=because, result=said))
            told = _told(started.binding, call.name, outcome.receipt.result)
        elif (
            isinstance(outcome, Done)
            and outcome.receipt.result
            and outcome.receipt.status == "failed"
        ):
            # The tool itself says what was wrong, in words that are meant for its caller.
            told = _told(started.binding, call.name, outcome.receipt.result)
            said["calls"].append({"tool": call.name, "not_done": _words(outcome)})
        else:
            told = orjson.dumps({"not_done": _words(outcome), **_next(outcome)}).decode()
            said["calls"].append({"tool": call.name, "not_done": _words(outcome)})
        turns.append(ToolTurn(call_id=call.id, name=call.name, content=told))
        return None


def _told(binding: Binding, name: str, result: bytes) -> str:
    """What a model reads of a tool's result."""
    tool = binding.fleet.tools.get(ToolName(name))
    if tool is not None and isinstance(tool.backend, McpBackend):
        return readable(result)
    return result.decode("utf-8", "replace")


def _canonical(arguments: bytes) -> bytes:
    """RFC 8785: the same arguments have one digest; what is not JSON the contract refuses."""
    try:
        return rfc8785.dumps(orjson.loads(arguments or b"{}"))
    except (orjson.JSONDecodeError, rfc8785.CanonicalizationError):
        return arguments


def _next(outcome: Outcome) -> dict[str, str]:
    """How a model can go on from a call that waits for people: its run does not stop for them."""
    if isinstance(outcome, Held):
        words = "a person must answer first; go on without it, or call it again later just so"
        return {"approval": outcome.approval or "", "next": words}
    if isinstance(outcome, Suggested):
        return {"next": "recorded as a suggestion for people; finish without it, and say so"}
    return {}


def _words(outcome: Outcome) -> str:
    if isinstance(outcome, InDoubt):
        return f"in doubt (action {outcome.action.id})"
    if isinstance(outcome, Done):
        detail = outcome.receipt.detail
        return str(detail.get("error") or f"the vendor answered {detail.get('status')}")
    return "; ".join(f"{r.rule}: {r.because}" for r in outcome.verdict.reasons)
