"""OpenAI's other wires by its official SDK, over real sockets: responses, embeddings, the older
completions. The vendor is the stand-in, which counts what it is asked."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fleets import files
from tests.serving import Running, running, upstream
from tests.unit.wires import RESPONSE, events
from tests.wire.vendors import Reply, said, stage


def client_of(server: Running, credential: str) -> openai.AsyncOpenAI:
    """The SDK as an agent would make it."""
    return openai.AsyncOpenAI(base_url=f"{server.url}/openai/v1", api_key=credential)


def rule(**fields: Any) -> dict[str, Any]:
    return {"models": ["small-1"], "rules": [fields]}


async def test_a_response_is_answered_recorded_and_charged(tmp_path: Path) -> None:
    script = rule(answer={"text": "It left on Monday."})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            answer = await client.responses.create(
                model="small-1", instructions="Be brief.", input="Where is my order?"
            )
        assert answer.output_text == "It left on Monday."
        [action] = await server.actions(run.id)
        counted = vendor.tally.totals()
        assert action["usage_source"] == "reported"
        assert action["usage"] == {
            "input": counted["input_tokens"],
            "output": counted["output_tokens"],
        }


async def test_a_streamed_response_passes_and_its_usage_is_read(tmp_path: Path) -> None:
    script = rule(
        answer={
            "text": "One call.",
            "tool_calls": [{"name": "look_up", "arguments": {"order": 7}}],
        }
    )
    tools: Any = [{"type": "function", "name": "look_up", "parameters": {"type": "object"}}]
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with (
            client_of(server, run.credential) as client,
            client.responses.stream(model="small-1", input="Hi", tools=tools) as stream,
        ):
            answer = await stream.get_final_response()
        assert answer.output_text == "One call."
        [action] = await server.actions(run.id)
        assert action["usage"]["output"] == vendor.tally.totals()["output_tokens"]
        from tests.serving import OWNER

        shown = await server.house.services.actions.show(OWNER, action["id"])
        assert "look_up" in str(shown["response"]), "the record holds the call"


def test_the_synchronous_client_works_unchanged(tmp_path: Path) -> None:
    async def scenario() -> None:
        script = rule(answer={"text": "yes"})
        async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
            run = await server.start_run()

            def ask() -> tuple[str, str]:
                client = openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=run.credential)
                with client:
                    whole = client.responses.create(model="small-1", input="Is it?")
                    stream = client.responses.create(model="small-1", input="Is it?", stream=True)
                    deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]
                return whole.output_text, "".join(deltas)

            assert await asyncio.to_thread(ask) == ("yes", "yes")
            assert len(await server.actions(run.id)) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("rule_", "more"),
    [
        ("wire:vendor-state", {"store": True}),
        ("wire:vendor-state", {"previous_response_id": "resp_1"}),
        ("wire:vendor-state", {"conversation": "conv_1"}),
        ("wire:vendor-state", {"background": True}),
        ("wire:vendor-state", {"input": [{"type": "item_reference", "id": "rs_1"}]}),
        ("wire:hosted-tools", {"tools": [{"type": "web_search"}]}),
        ("wire:hosted-tools", {"tools": [{"type": "code_interpreter", "container": {}}]}),
        ("wire:remote-mcp", {"tools": [{"type": "mcp", "server_label": "x", "server_url": "y"}]}),
        (
            "wire:fetched-content",
            {
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_image", "image_url": "https://x.org/a.png"}],
                    }
                ]
            },
        ),
        (
            "wire:vendor-files",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        ),
        ("wire:unknown-part", {"input": [{"type": "novelty"}]}),
    ],
)
async def test_what_the_vendor_would_do_by_itself_is_refused(
    tmp_path: Path, rule_: str, more: dict[str, Any]
) -> None:
    async with stage(tmp_path, {"openai": ["m-1"]}, {}) as (server, vendor, run):
        async with client_of(server, run.credential) as client:
            with pytest.raises(openai.PermissionDeniedError, match=rule_):
                await client.post(
                    "/responses", body={"model": "m-1", "input": "Hi"} | more, cast_to=object
                )
        assert vendor.asked == []
        [action] = await server.actions(run.id)
        assert action["state"] == "refused"


async def test_embeddings_are_charged_by_their_input_and_held_for_no_output(
    tmp_path: Path,
) -> None:
    embedded = {
        "object": "list",
        "model": "m-1",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    async with stage(tmp_path, {"openai": ["m-1"]}, {"/embeddings": said(embedded)}) as staged:
        server, vendor, run = staged
        async with client_of(server, run.credential) as client:
            found = await client.embeddings.create(
                model="m-1", input=["Hi", "Ho"], encoding_format="float"
            )
        assert found.data[0].embedding == [0.5]
        assert vendor.asked[0].json["input"] == ["Hi", "Ho"]
        [action] = await server.actions(run.id)
        assert (action["usage"], action["cost_nanousd"]) == ({"input": 8}, 8 * 150)


async def test_an_older_completion_passes_streamed_without_the_client_seeing_usage(
    tmp_path: Path,
) -> None:
    chunks = events(
        {"id": "1", "model": "m-1", "choices": [{"index": 0, "text": "Yes", "logprobs": None}]},
        {
            "id": "1",
            "model": "m-1",
            "choices": [{"index": 0, "text": ".", "finish_reason": "stop"}],
        },
        {"id": "1", "choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}},
        done=True,
    )
    reply = Reply(pieces=[chunks], content_type="text/event-stream")
    async with stage(tmp_path, {"openai": ["m-1"]}, {"/completions": reply}) as staged:
        server, vendor, run = staged
        async with client_of(server, run.credential) as client:
            stream = await client.completions.create(model="m-1", prompt="Is it?", stream=True)
            said_ = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].text for chunk in said_) == "Yes."
        assert vendor.asked[0].json["stream_options"] == {"include_usage": True}
        [action] = await server.actions(run.id)
        assert action["usage"] == {"input": 4, "output": 2}


@pytest.mark.parametrize("ends", ["cut", "whole"])
async def test_a_response_that_stops_before_its_last_event_is_an_estimate(
    tmp_path: Path, ends: str
) -> None:
    begun = events(
        {"type": "response.created", "response": RESPONSE | {"output": [], "usage": None}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hello there"},
    )
    reply = Reply(pieces=[begun], content_type="text/event-stream", ends=ends)
    async with stage(tmp_path, {"openai": ["m-1"]}, {"/responses": reply}) as staged:
        server, _, run = staged
        async with client_of(server, run.credential) as client:
            try:
                stream = await client.responses.create(model="m-1", input="Hi", stream=True)
                [event async for event in stream]
            except Exception:  # noqa: BLE001  whatever its transport raises
                assert ends == "cut"
        [action] = await server.actions(run.id)
        assert action["usage_source"] == "estimated"
        assert action["usage"]["output"] == 4, "eleven bytes"
