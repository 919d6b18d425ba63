"""The built-in runner at vendors of every dialect: it speaks each one's own format."""

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from quarterdeck_standin.app import StandIn
from tests.fleets import files as small
from tests.serving import OWNER, running, upstream
from tests.wire.fleets import fleet_of
from tests.wire.recordings import serving
from tests.wire.test_azure_sdk import CHATTED
from tests.wire.test_bedrock_sdk import CONVERSED, MESSAGE
from tests.wire.test_gemini_sdk import CALL
from tests.wire.vendors import Vendor, said

DONE: dict[str, Any] = {
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Yes."}]}}],
        "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2},
    },
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [{"text": "Yes."}]}},
        "usage": {"inputTokens": 4, "outputTokens": 2},
    },
    "azure": CHATTED,
    "openai": CHATTED,
    "anthropic": MESSAGE,
}
PATHS = {
    "gemini": "/v1beta/models/m-1:generateContent",
    "bedrock": "/model/m-1/converse",
    "azure": "/openai/v1/chat/completions",
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
}


@pytest.mark.parametrize("dialect", sorted(DONE))
async def test_a_run_ends_with_what_the_model_said(tmp_path: Path, dialect: str) -> None:
    vendor = Vendor({PATHS[dialect]: said(DONE[dialect])})
    async with serving(vendor) as url:
        files, _ = fleet_of(url, {dialect: ["m-1"]})
        async with running(tmp_path, files) as server:
            run = await server.house.services.runs.start(OWNER, "agent-0", {"n": 1}, kind="runner")
            outcome = await server.house.runner.drive(run, {"n": 1})
            [action] = await server.actions(run.id)
    assert (outcome.state, outcome.result) == ("succeeded", {"calls": [], "text": "Yes."})
    assert [asked.path for asked in vendor.asked] == [PATHS[dialect]]
    assert (action["state"], action["usage_source"]) == ("done", "reported")


@pytest.mark.parametrize(("dialect", "calling"), [("gemini", CALL), ("bedrock", CONVERSED)])
async def test_a_tool_nobody_granted_is_told_to_the_model_in_its_own_format(
    tmp_path: Path, dialect: str, calling: Any
) -> None:
    vendor = Vendor({PATHS[dialect]: said(calling)})
    async with serving(vendor) as url:
        files, _ = fleet_of(url, {dialect: ["m-1"]})
        limited = files["agents/agent-0.yaml"].replace(b"turns_max: 1000", b"turns_max: 2")
        async with running(tmp_path, files | {"agents/agent-0.yaml": limited}) as server:
            run = await server.house.services.runs.start(OWNER, "agent-0", {"n": 1}, kind="runner")
            outcome = await server.house.runner.drive(run, {"n": 1})
    assert outcome.state == "failed"
    last = str(vendor.asked[-1].json)
    assert "has no tool `look_up`" in last
    assert ("functionResponse" if dialect == "gemini" else "toolResult") in last


def _last(standin: StandIn) -> str:
    """The last message of the newest request, as the vendor got it."""
    body = orjson.loads(base64.b64decode(standin.requests[-1]["body_base64"]))
    return str(body["messages"][-1])


WIPES = {"tool_calls": [{"name": "wipe", "arguments": {"n": 1}}]}


async def test_a_call_that_is_held_is_told_to_the_model_and_goes_through_once_allowed(
    tmp_path: Path,
) -> None:
    script = {"rules": [{"nth": [1, 3], "answer": WIPES}, {"answer": {"text": "That is all."}}]}
    async with upstream(script) as (url, standin), running(tmp_path, small(base_url=url)) as server:
        run = await server.house.services.runs.start(OWNER, "clerk", {"n": 1}, kind="runner")
        outcome = await server.house.runner.drive(run, {"n": 1})
        assert outcome.state == "succeeded", "its run does not wait for a person"
        approvals = server.house.services.approvals
        [waiting] = await approvals.list_page(OWNER, states=("waiting",))
        told = _last(standin)
        assert waiting["id"] in told
        assert "a person must answer first" in told
        await approvals.answer(OWNER, waiting["id"], "approve", digest=waiting["digest"])
        again = await server.house.runner.drive(run, {"n": 1})
        assert again.result is not None
        assert again.result["calls"] == [{"tool": "wipe", "arguments": {"n": 1}}]


async def test_a_suggestion_is_told_to_the_model_as_something_to_finish_without(
    tmp_path: Path,
) -> None:
    script = {"rules": [{"nth": 1, "answer": WIPES}, {"answer": {"text": "I left it to you."}}]}
    async with upstream(script) as (url, standin):
        fleet = dict(small(base_url=url))
        fleet["agents/clerk.yaml"] = fleet["agents/clerk.yaml"].replace(b": L2", b": L1")
        async with running(tmp_path, fleet) as server:
            run = await server.house.services.runs.start(OWNER, "clerk", {"n": 1}, kind="runner")
            outcome = await server.house.runner.drive(run, {"n": 1})
        assert (outcome.state, (outcome.result or {})["text"]) == ("succeeded", "I left it to you.")
        assert "finish without it" in _last(standin)
