"""The official Anthropic SDK against the gateway, over real sockets."""

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.fleets import files
from tests.serving import Running, running, upstream
from tests.wire.vendors import said, stage

ASK: Any = [{"role": "user", "content": "Where is my order?"}]


def client_of(server: Running, credential: str, **more: Any) -> anthropic.AsyncAnthropic:
    """The SDK as an agent would make it."""
    return anthropic.AsyncAnthropic(base_url=f"{server.url}/anthropic", api_key=credential, **more)


def rule(**fields: Any) -> dict[str, Any]:
    """A script of one rule."""
    return {"models": ["other-1"], "rules": [fields]}


async def test_a_message_is_answered_recorded_and_charged(tmp_path: Path) -> None:
    script = rule(answer={"text": "It left on Monday."})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            answer = await client.messages.create(
                model="other-1", max_tokens=50, system="Be brief.", messages=ASK
            )
        assert answer.content[0].text == "It left on Monday."  # type: ignore[union-attr]
        [action] = await server.actions(run.id)
        assert action["usage_source"] == "reported"
        counted = vendor.tally.totals()
        cost = counted["input_tokens"] * 3000 + counted["output_tokens"] * 15000
        assert action["cost_nanousd"] == cost


async def test_a_stream_passes_and_its_usage_is_read(tmp_path: Path) -> None:
    script = rule(answer={"text": "one two three"})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with (
            client_of(server, run.credential) as client,
            client.messages.stream(model="other-1", max_tokens=50, messages=ASK) as stream,
        ):
            said = "".join([text async for text in stream.text_stream])
        assert said == "one two three"
        [action] = await server.actions(run.id)
        assert action["usage"]["output"] == vendor.tally.totals()["output_tokens"]


def test_the_synchronous_client_works_unchanged(tmp_path: Path) -> None:
    async def scenario() -> None:
        script = rule(answer={"text": "yes"})
        async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
            run = await server.start_run()

            def ask() -> str:
                with anthropic.Anthropic(
                    base_url=f"{server.url}/anthropic", api_key=run.credential
                ) as client:
                    answer = client.messages.create(model="other-1", max_tokens=9, messages=ASK)
                return answer.content[0].text  # type: ignore[union-attr]

            assert await asyncio.to_thread(ask) == "yes"

    asyncio.run(scenario())


async def test_tool_calls_pass_in_a_stream(tmp_path: Path) -> None:
    calls = [{"name": "look_up", "arguments": {"order": n}} for n in (7, 8)]
    tools: Any = [{"name": "look_up", "input_schema": {"type": "object"}}]
    script = rule(answer={"text": "Two calls.", "tool_calls": calls})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with (
            client_of(server, run.credential) as client,
            client.messages.stream(
                model="other-1", max_tokens=200, messages=ASK, tools=tools
            ) as stream,
        ):
            answer = await stream.get_final_message()
        used = [block for block in answer.content if block.type == "tool_use"]
        assert [block.input for block in used] == [{"order": 7}, {"order": 8}]


async def test_denials_come_in_the_vendors_envelope(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        async with client_of(server, run.credential, max_retries=0) as client:
            with pytest.raises(anthropic.PermissionDeniedError, match="default:model"):
                await client.messages.create(model="claude-9", max_tokens=9, messages=ASK)
            with pytest.raises(anthropic.PermissionDeniedError, match="mcp_servers"):
                await client.messages.create(
                    model="other-1",
                    max_tokens=9,
                    messages=ASK,
                    extra_body={"mcp_servers": [{"type": "url", "url": "http://x", "name": "x"}]},
                )
        async with client_of(server, "wrong") as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(model="other-1", max_tokens=9, messages=ASK)


async def test_a_client_that_hangs_up_cancels_the_vendor(tmp_path: Path) -> None:
    script = rule(generate={"chunks": 2000, "delay_seconds": 0.01})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with (
            client_of(server, run.credential) as client,
            client.messages.stream(model="other-1", max_tokens=5000, messages=ASK) as stream,
        ):
            async for _ in stream.text_stream:
                break
        for _ in range(200):
            if vendor.tally.totals()["cancelled"]:
                break
            await asyncio.sleep(0.02)
        assert vendor.tally.totals()["cancelled"] == 1
        [action] = await server.actions(run.id)
        assert action["usage_source"] == "estimated"


async def test_counting_tokens_costs_none_and_is_recorded(tmp_path: Path) -> None:
    replies = {"/count_tokens": said({"input_tokens": 31})}
    async with stage(tmp_path, {"anthropic": ["other-1"]}, replies) as (server, vendor, run):
        async with client_of(server, run.credential) as client:
            counted = await client.messages.count_tokens(model="other-1", messages=ASK)
            assert counted.input_tokens == 31
            with pytest.raises(anthropic.PermissionDeniedError, match="may not use the model"):
                await client.messages.count_tokens(model="other-9", messages=ASK)
        [asked] = vendor.asked
        assert asked.path == "/v1/messages/count_tokens"
        counting, refused = await server.actions(run.id)
        assert (counting["state"], counting["usage"]) == ("done", None)
        assert (counting["cost_nanousd"], counting["usage_source"]) == (0, "none")
        assert refused["state"] == "refused"


async def test_a_beta_call_says_so_to_the_vendor(tmp_path: Path) -> None:
    replies = {"/messages": said({"content": [], "usage": {"input_tokens": 1, "output_tokens": 1}})}
    async with stage(tmp_path, {"anthropic": ["other-1"]}, replies) as (server, vendor, run):
        async with client_of(server, run.credential) as client:
            await client.beta.messages.create(
                model="other-1",
                max_tokens=9,
                messages=ASK,
                betas=["x-1"],
                extra_query={"beta": "true"},
            )
        [asked] = vendor.asked
        assert asked.query == "beta=true"
        assert asked.headers["anthropic-beta"] == "x-1"
