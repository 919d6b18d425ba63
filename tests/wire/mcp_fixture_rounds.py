"""The fixture server's tools that answer "input required", and are called again (2026-07-28)."""

from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from tests.wire.mcp_fixture_tools import Asked, Result, says, tool


def form(message: str, field: str, kind: str = "string") -> types.ElicitRequest:
    """A form of one field."""
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return types.ElicitRequest(
        params=types.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def sampled(text: str, max_tokens: int) -> types.CreateMessageRequest:
    """A question to the client's model."""
    message = types.SamplingMessage(role="user", content=types.TextContent(text=text))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def required(requests: Mapping[str, Any], state: str | None = None) -> types.InputRequiredResult:
    """What is asked before there is an answer."""
    return types.InputRequiredResult(input_requests=dict(requests), request_state=state)


def answered_form(params: types.InputResponseRequestParams, key: str, field: str) -> Any:
    """What a form was answered with; None if it was not."""
    answer = (params.input_responses or {}).get(key)
    if not isinstance(answer, types.ElicitResult) or answer.action != "accept":
        return None
    return (answer.content or {}).get(field)


def _answer(asked: Asked, key: str) -> Any:
    return (asked.params.input_responses or {}).get(key)


@tool("Asks for a name.")
async def test_input_required_result_elicitation(asked: Asked) -> Result:
    name = answered_form(asked.params, "user_name", "name")
    if name is None:
        return required({"user_name": form("What is your name?", "name")})
    return says(f"Hello, {name}!")


@tool("Asks the client's model.")
async def test_input_required_result_sampling(asked: Asked) -> Result:
    answer = _answer(asked, "capital_question")
    if answer is None:
        return required({"capital_question": sampled("What is the capital of France?", 100)})
    return says(f"The model says: {getattr(answer.content, 'text', '')}")


@tool("Asks for the client's roots.")
async def test_input_required_result_list_roots(asked: Asked) -> Result:
    answer = _answer(asked, "client_roots")
    if not isinstance(answer, types.ListRootsResult):
        return required({"client_roots": types.ListRootsRequest(params=types.RequestParams())})
    return says(f"Roots: {', '.join(str(root.uri) for root in answer.roots)}")


@tool("Asks, and remembers by the state alone.")
async def test_input_required_result_request_state(asked: Asked) -> Result:
    confirmed = answered_form(asked.params, "confirm", "ok")
    if confirmed is None or asked.params.request_state != "waits-for-ok":
        return required({"confirm": form("Please confirm", "ok", "boolean")}, "waits-for-ok")
    return says("state-ok")


@tool("Asks, and takes no state but its own.")
async def test_input_required_result_tampered_state(asked: Asked) -> Result:
    return await test_input_required_result_request_state(asked)


@tool("Asks three things at once.")
async def test_input_required_result_multiple_inputs(asked: Asked) -> Result:
    asks = {
        "user_name": form("What is your name?", "name"),
        "greeting": sampled("Generate a greeting", 50),
        "client_roots": types.ListRootsRequest(params=types.RequestParams()),
    }
    if asked.params.request_state is None or any(_answer(asked, key) is None for key in asks):
        return required(asks, "three-things")
    return says("All three were answered.")


@tool("Asks twice.")
async def test_input_required_result_multi_round(asked: Asked) -> Result:
    state = asked.params.request_state
    if state == "second":
        colour = answered_form(asked.params, "step2", "color")
        if colour is not None:
            return says(f"Two rounds, and the colour is {colour}.")
    if state is None or answered_form(asked.params, "step1", "name") is None:
        return required({"step1": form("Step 1: What is your name?", "name")}, "first")
    return required({"step2": form("Step 2: What is your favorite color?", "color")}, "second")


@tool("Asks only what the client can answer.")
async def test_input_required_result_capabilities(asked: Asked) -> Result:
    asks: dict[str, Any] = {}
    if asked.capabilities.sampling is not None:
        asks["greeting"] = sampled("Generate a greeting", 50)
    if asked.capabilities.elicitation is not None:
        asks["user_name"] = form("What is your name?", "name")
    if not asks or any(_answer(asked, key) is not None for key in asks):
        return says("Nothing more to ask.")
    return required(asks)


@tool("Asks in the stream of its answer.")
async def test_streaming_elicitation(asked: Asked) -> Result:
    await asked.ctx.session.report_progress(1, 2)
    return await test_input_required_result_elicitation(asked)


@tool("Cannot do without the client's model.")
async def test_missing_capability(asked: Asked) -> Result:
    if asked.capabilities.sampling is None:
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This tool needs a client that can sample",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return await test_input_required_result_sampling(asked)
