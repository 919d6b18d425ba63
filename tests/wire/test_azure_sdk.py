"""Azure as a vendor: by its own SDK's client, and behind OpenAI's, over real sockets."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import openai
import pytest

from quarterdeck.services.runs import StartedRun
from tests.serving import Running, running
from tests.unit.wires import CHAT, RESPONSE, events
from tests.wire.fleets import fleet_of
from tests.wire.recordings import serving
from tests.wire.vendors import Reply, Vendor, said, stage

DEPLOYMENT = "support-4o"
VERSION = "2024-10-21"
CHATTED = {
    "id": "1",
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Yes."},
            "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
        }
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}
EMBEDDED = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
REPLIES = {
    "/chat/completions": said(CHATTED),
    "/embeddings": said(EMBEDDED),
    "/responses": said(RESPONSE),
}
ASK: Any = [{"role": "user", "content": "Is it?"}]


def azure(
    folder: Path, replies: dict[str, Reply] = REPLIES
) -> AbstractAsyncContextManager[tuple[Running, Vendor, StartedRun]]:
    """A gateway in front of a vendor of this dialect."""
    return stage(folder, {"azure": [DEPLOYMENT]}, replies)


def client_of(server: Running, run: StartedRun) -> openai.AsyncAzureOpenAI:
    """The SDK as an agent would make it."""
    return openai.AsyncAzureOpenAI(
        azure_endpoint=f"{server.url}/azure", api_key=run.credential, api_version=VERSION
    )


async def test_a_chat_of_a_deployment_passes_and_is_charged(tmp_path: Path) -> None:
    async with azure(tmp_path) as (server, vendor, run):
        async with client_of(server, run) as client:
            answer = await client.chat.completions.create(
                model=DEPLOYMENT, messages=ASK, max_tokens=20
            )
        assert answer.choices[0].message.content == "Yes."
        [asked] = vendor.asked
        assert asked.path == f"/openai/deployments/{DEPLOYMENT}/chat/completions"
        assert asked.query == f"api-version={VERSION}"
        assert run.credential not in str(asked.headers)
        [action] = await server.actions(run.id)
        assert action["target"] == f"azure/{DEPLOYMENT}", "the deployment is the model"
        assert action["usage"] == {"input": 12, "output": 3}
        assert action["cost_nanousd"] == 12 * 150 + 3 * 600
        assert action["detail"]["model"] == "gpt-4o-2024-08-06", "and this is what answered"


async def test_a_stream_of_a_deployment_passes(tmp_path: Path) -> None:
    reply = Reply(pieces=[events(*CHAT, done=True)], content_type="text/event-stream")
    async with azure(tmp_path, {"/chat/completions": reply}) as (server, _, run):
        async with client_of(server, run) as client:
            stream = await client.chat.completions.create(
                model=DEPLOYMENT, messages=ASK, stream=True
            )
            text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        assert text == "H\u00e9llo"
        [action] = await server.actions(run.id)
        assert (action["usage_source"], action["usage"]) == ("reported", {"input": 9, "output": 7})


async def test_embeddings_and_responses_pass(tmp_path: Path) -> None:
    async with azure(tmp_path) as (server, vendor, run):
        async with client_of(server, run) as client:
            found = await client.embeddings.create(model=DEPLOYMENT, input="Hi")
            answer = await client.responses.create(model=DEPLOYMENT, input="Hi", store=False)
        assert found.data[0].embedding == [0.1, 0.2]
        assert answer.output_text == "H\u00e9llo"
        assert [asked.path for asked in vendor.asked] == [
            f"/openai/deployments/{DEPLOYMENT}/embeddings",
            "/openai/responses",
        ]
        assert {asked.query for asked in vendor.asked} == {f"api-version={VERSION}"}
        first, second = await server.actions(run.id)
        assert (first["usage"], first["cost_nanousd"]) == ({"input": 5}, 5 * 150)
        assert second["usage"] == {"input": 5, "cache_read": 4, "output": 5, "reasoning": 2}


@pytest.mark.parametrize("base", ["/openai/v1", "/azure/openai/v1"])
async def test_a_plain_openai_client_is_served_by_an_azure_vendor(
    tmp_path: Path, base: str
) -> None:
    async with azure(tmp_path) as (server, vendor, run):
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}{base}", api_key=run.credential
        ) as client:
            answer = await client.chat.completions.create(model=DEPLOYMENT, messages=ASK)
            assert [m.id async for m in client.models.list()] == [DEPLOYMENT]
        assert answer.choices[0].message.content == "Yes."
        [asked] = vendor.asked
        assert (asked.path, asked.query) == ("/openai/v1/chat/completions", "")
        assert asked.json["model"] == DEPLOYMENT
        [action] = await server.actions(run.id)
        assert action["target"] == f"azure/{DEPLOYMENT}"


async def test_a_deployment_nobody_granted_is_refused(tmp_path: Path) -> None:
    async with azure(tmp_path) as (server, vendor, run):
        async with client_of(server, run) as client:
            with pytest.raises(openai.PermissionDeniedError, match="may not use the model"):
                await client.chat.completions.create(model="other", messages=ASK)
        assert vendor.asked == []


async def test_two_calls_with_one_body_and_two_urls_are_not_one_call(tmp_path: Path) -> None:
    models = {"azure": [DEPLOYMENT, "support-mini"]}
    async with stage(tmp_path, models, REPLIES) as (server, vendor, run):
        async with client_of(server, run) as client:
            headers = {"idempotency-key": "once"}
            body: dict[str, Any] = {"messages": ASK, "max_tokens": 9}
            post = client.with_options(max_retries=0).post
            await post(
                f"/deployments/{DEPLOYMENT}/chat/completions",
                body=body,
                cast_to=object,
                options={"headers": headers},
            )
            with pytest.raises(openai.ConflictError, match="used for other arguments"):
                await post(
                    "/deployments/support-mini/chat/completions",
                    body=body,
                    cast_to=object,
                    options={"headers": headers},
                )
        assert len(vendor.asked) == 1


async def test_what_one_vendor_may_do_is_still_refused_at_another(tmp_path: Path) -> None:
    vendor = Vendor(REPLIES)
    async with serving(vendor) as url:
        files, _ = fleet_of(url, {"azure": ["m-2"], "openai": ["m-1"]})
        files["fleet.yaml"] = files["fleet.yaml"].replace(
            b"allow: [fetched-content]", b"allow: [hosted-tools]", 1
        )
        files["agents/agent-0.yaml"] = files["agents/agent-0.yaml"].replace(
            b"prompt:", b'  judge: {vendor: openai, model: "m-1"}\nprompt:'
        )
        async with running(tmp_path, files) as server:
            run = await server.start_run("agent-0")
            base = f"{server.url}/openai/v1"
            async with openai.AsyncOpenAI(base_url=base, api_key=run.credential) as client:
                tools: Any = [{"type": "web_search"}]
                await client.responses.create(model="m-2", input="Hi", tools=tools)
                with pytest.raises(openai.PermissionDeniedError, match="wire:hosted-tools"):
                    await client.responses.create(model="m-1", input="Hi", tools=tools)
    assert [asked.json["model"] for asked in vendor.asked] == ["m-2"]
